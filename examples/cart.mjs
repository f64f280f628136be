// The smallest honest cart in JavaScript, for Node 22 or newer and for browsers. No dependency.
//
//     DUCKYCART_KEY=… node cart.mjs 1 ws://127.0.0.1:8000
//
// In a page:  <script type="module">import { run } from "./cart.mjs"; run(1, "wss://…", "the key")</script>

const FIRST = 500, LONGEST = 60_000; // ms; the wait before a new try is drawn below a limit that doubles
const STEADY = 10_000; // ms a connection must have lasted for that limit to start again
const TAKEN_OVER = 4409; // somebody else connects as this cart: do not fight for it
const ALIVE = 20_000; // ms

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

export function run(cartId, server, key) {
  const cart = new Cart(); // is as old as the boot id: whoever keeps the one over a reboot keeps the other
  const boot = Math.random().toString(36).slice(2);
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
      console.log("connected");
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
}

if (globalThis.process?.argv[1]?.endsWith("cart.mjs")) {
  run(process.argv[2], process.argv[3], process.env.DUCKYCART_KEY);
}
