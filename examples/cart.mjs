// The smallest honest cart in JavaScript, for Node 22 or newer and for browsers. No dependency.
//
//     DUCKYCART_KEY=… node cart.mjs 1 ws://127.0.0.1:8000
//
// A barcode reader is a keyboard: a barcode on standard input puts one unit in, with a minus before it one is taken out.
// In a page:  <script type="module">import { run } from "./cart.mjs"; const scan = run(1, "wss://…", "the key")</script>

const FIRST = 500, LONGEST = 60_000; // ms; the wait before a new try is drawn below a limit that doubles
const STEADY = 10_000; // ms a connection must have lasted for that limit to start again
const TAKEN_OVER = 4409; // somebody else connects as this cart: do not fight for it
const ALIVE = 20_000; // ms
const ANSWER = 10_000; // ms for a call

// Where the cart stands. Your display, scanner and lock go where it logs.
class Cart {
  session = null; // null: nobody shops
  held = false; // the session is to be paid

  // Compare with the state: a command that the server says again after a broken link changes nothing.
  obey(command, session) {
    if (command === "generate_qr" && this.session === null) {
      console.log("show the QR");
    } else if (command === "session_started" || command === "payment_created") {
      if (session !== this.session) {
        if (this.session !== null) console.log("back to idle");
        this.session = session;
        this.held = false;
        console.log(`session ${session}: empty the basket, start shopping`);
      }
      if (command === "payment_created" && !this.held) {
        this.held = true;
        console.log(`session ${session}: nothing in, nothing out`);
      }
    } else if (command === "end_session" && session === this.session) {
      this.session = null;
      this.held = false;
      console.log("back to idle");
    }
  }
}

// One unit in, or with a minus one out; what the server says. Asks again until there is an answer.
//
// When a connection dies nobody knows whether the call was done, and browsers repeat it unasked. The key tells the server
// that it is the same call: however often it comes, it is done once.
async function changeBasket(server, headers, session, barcode) {
  const [method, path] = barcode.startsWith("-") ? ["DELETE", "remove"] : ["POST", "add"];
  const once = { ...headers, "Content-Type": "application/json", "Idempotency-Key": random() };
  const body = `{"sessionID": ${session}, "barcode": ${barcode.replace("-", "")}}`; // more digits than a number holds
  for (;;) {
    try {
      const signal = AbortSignal.timeout(ANSWER);
      const answer = await fetch(`http${server.slice(2)}/cart-items/${path}`, { method, headers: once, body, signal });
      const said = await answer.json();
      if (answer.ok) return `${path} ${barcode}: ${("item" in said ? said.item : said)?.quantity ?? 0} in the basket`;
      if (answer.status < 500 && answer.status !== 429) return `${path} ${barcode}: ${said.detail}`;
    } catch { /* it may have been done */ }
    await new Promise((done) => setTimeout(done, Math.random() * 2 * FIRST));
  }
}

const random = () => Math.random().toString(36).slice(2);

// Returns what to call with each barcode that is scanned.
export function run(cartId, server, key) {
  const cart = new Cart(); // is as old as the boot id: whoever keeps the one over a reboot keeps the other
  const boot = random();
  // In the URL, because a browser lets nobody set headers here.
  const url = `${server}/ws/hardware/${cartId}?key=${encodeURIComponent(key)}&boot=${boot}`;
  let limit = FIRST;

  function connect() {
    const socket = new WebSocket(url); // answers the pings by itself
    let opened = Infinity;

    // JavaScript sees no pings, so it would wait for ever on a connection that died in silence. A text now and then,
    // which the server ignores, makes the other end answer that it is gone.
    const alive = setInterval(() => {
      if (socket.readyState === WebSocket.OPEN) return socket.send("alive");
      socket.close();
      ended({});
    }, ALIVE);

    let over = false;
    function ended({ code }) {
      if (over) return; // an error and a close may both tell, or only one of them
      over = true;
      clearInterval(alive);
      if (code !== TAKEN_OVER && performance.now() - opened > STEADY) limit = FIRST;
      const wait = Math.random() * limit;
      limit = Math.min(limit * 2, LONGEST);
      console.log(`not connected: ${code ? `closed with ${code}` : "no answer"}; next try in ${wait.toFixed()} ms`);
      setTimeout(connect, wait);
    }

    socket.onopen = () => {
      opened = performance.now();
      console.log("connected; nothing comes before somebody asks for a QR");
    };
    socket.onmessage = ({ data }) => {
      if (over) return;
      const command = JSON.parse(data);
      cart.obey(command.type, command.data);
    };
    socket.onclose = ended;
    socket.onerror = ended;
  }

  connect();
  const headers = { Authorization: `Bearer ${key}`, "Cart-Boot-Id": boot }; // which CORS lets a page of another origin send
  return async (barcode) => {
    if (cart.session === null || !/^-?[0-9]+$/.test(barcode)) return;
    console.log(await changeBasket(server, headers, cart.session, barcode));
  };
}

if (globalThis.process?.argv[1]?.endsWith("cart.mjs")) {
  if (process.argv.length !== 4 || !process.env.DUCKYCART_KEY) {
    console.error("DUCKYCART_KEY=… node cart.mjs 1 ws://127.0.0.1:8000    (the cart's key, its number, the server)");
    process.exit(1);
  }
  const scan = run(process.argv[2], process.argv[3], process.env.DUCKYCART_KEY);
  const { createInterface } = await import("node:readline");
  for await (const line of createInterface({ input: process.stdin })) await scan(line.trim());
}
