// A cart's own screen, which nobody attends: QR, basket, payment, thank-you, and the next QR. It draws what it knows and
// asks for ever.

import {
  $, Problem, ask, call, here as cart, learn, list, number, onTap, readPayment, show, showError, startSpeaking, t, totals,
} from "./page.js";

const TEXTS = {
  en: {
    scan: "Scan with your phone to shop with this cart", payByPhone: "Scan to pay with your phone, or",
    payHere: "Pay here", back: "Back to the basket", next: "Next shopper", overMore: "Nothing was paid.",
    held: "The basket is closed until it is paid.", moment: "One moment, please", unusable: "This cart cannot be used now",
    noConnection: "No connection", again: "Trying again …", needsKey: "This screen needs its key",
    voidKey: "This screen's key is void", operator: "For the staff: run this on the server, and open the address that it prints on this screen.",
  },
  ar: {
    scan: "امسح الرمز بهاتفك لتتسوق بهذه العربة", payByPhone: "امسح لتدفع بهاتفك، أو",
    payHere: "ادفع هنا", back: "العودة إلى السلة", next: "المتسوق التالي", overMore: "لم يُدفع شيء.",
    held: "السلة مغلقة حتى الدفع.", moment: "لحظة من فضلك", unusable: "لا يمكن استخدام هذه العربة الآن",
    noConnection: "لا يوجد اتصال", again: "نحاول مرة أخرى …", needsKey: "هذه الشاشة تحتاج إلى مفتاحها",
    voidKey: "مفتاح هذه الشاشة لم يعد صالحًا", operator: "للموظفين: شغّل هذا الأمر على الخادم وافتح العنوان الذي يظهر على هذه الشاشة.",
  },
};
const PROBLEMS = {
  en: {
  },
  ar: {
    basket_empty: "السلة فارغة.",
  },
};

learn(TEXTS, PROBLEMS);

// Seconds
const SILENCE = 40;  // of a stream whose server says something every 15: the connection is dead
const THANKS = 20;  // how long a thank-you stays
const RETRY = 10;  // for a cart that can be used by nobody
const SLOWEST = 15;  // between two attempts
const FRESH = .9;  // of a QR's life, then there is another

const WEIGHT = { "weight increased": "more", "weight decreased": "less" };

let lost = null;  // why the stream is not open; null while it is
let refused = null;  // why there is no QR
let qr = null;  // { picture, made, seconds }
let session = null;  // { session_id, token } while somebody shops
let seen = null;  // the newest that the server said of it: session, basket, payment
let goodbye = null;  // { seen, at } for a while after it
let warning = null;  // of the scale, until the basket changes
let declined = false;
let mayHavePayment = false;
let bill = null;  // { id, picture } of the payment that is open
let stream = null;  // { stop, heard } while one is open or being opened

// How long ago that was, at the most: a page cannot tell a machine that slept from a clock that was set. For what may be
// asked anew at any time; what must not end early goes by performance.now alone.
const mark = () => [performance.now(), Date.now()];
const since = ([steady, clock]) => Math.max(performance.now() - steady, Math.abs(Date.now() - clock)) / 1000;
let wake = () => {};
const nap = (seconds) => new Promise((resolve) => { wake = resolve; setTimeout(resolve, seconds * 1000); });

// Showing

function draw() {
  $("cart").textContent = t("cart", number(cart));
  $("lost").hidden = !lost || lost instanceof Problem || !(seen || goodbye);
  $("warning").hidden = !seen || !(warning || declined);
  $("warning").textContent = warning ? t(warning) : declined ? t("declined") : "";
  if (seen) drawShop(seen);
  else if (goodbye) drawBye(goodbye.seen);
  else if (lost || refused || !qr || session) drawNotice(lost ?? refused);
  else { $("qr").src = qr.picture; show("idle"); }
}
function drawShop({ basket, payment }) {
  const { total, count } = totals(basket);
  const status = payment?.status;
  const open = status === "open" && bill?.id === payment.payment_id;
  $("lines").replaceChildren(...list(basket.items).reverse());  // the newest on top
  $("empty").hidden = !!total;
  $("count").textContent = count;
  $("total").textContent = total;
  $("pay").hidden = !total || status === "open" || status === "creating";
  $("open").hidden = !open;
  if (open) $("bill").src = bill.picture;
  $("state").textContent = open ? t("held") : status === "creating" ? t("moment") : payment ? t("unpaid") : "";
  if (!open) $("till").close();
  show("shop");
}
function drawBye({ basket, payment }) {
  const paid = payment?.status === "paid";
  $("outcome").textContent = t(paid ? "paid" : "over");
  $("thanks").textContent = t(paid ? "paidMore" : payment?.status === "paid_extra" ? "paidExtra" : "overMore");
  $("sum").textContent = totals(basket).total;
  $("sum").parentElement.hidden = !paid;
  $("number").textContent = paid ? t("number", number(payment.payment_id)) : "";
  show("bye");
}
function drawNotice(error) {
  const { status, body } = error ?? {};
  const keyless = status === 401 || status === 403 || status === 404;
  const unusable = ["cart_offline", "out_of_service"].includes(body?.code);
  $("what").textContent = t(keyless ? (status === 401 ? "needsKey" : "voidKey") : unusable ? "unusable"
    : error && !status ? "noConnection" : "moment");
  $("why").textContent = keyless ? t("operator") : error ? t("again") : "";
  $("command").textContent = `duckycart carts screen-key ${cart}`;
  $("command").hidden = !keyless;
  show("notice");
}

// Listening

// What a stream says, as it comes, null for a sign of life. Ends when the server ends it; throws when the connection does,
// or when it is silent for longer than a server ever is.
async function* listen(path, access) {
  const stop = new AbortController();
  stream = { stop, heard: mark() };
  try {
    const answer = await call("GET", path, { access, signal: stop.signal });
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let text = ""; ;) {
      const { done, value } = await reader.read();
      if (done) return;
      stream.heard = mark();
      if (lost) { lost = null; draw(); }
      const events = (text + value).split("\n\n");
      text = events.pop();
      for (const event of events) yield JSON.parse(event.match(/^data: (.*)/m)?.[1] ?? "null");
    }
  } finally {
    stream = null;
    stop.abort();
  }
}
async function atTheCart() {
  await showKey();
  for await (const started of listen(`/sse/${cart}`)) {
    if (started) {
      session = started;
      goodbye = qr = refused = bill = warning = null;
      declined = false;
      mayHavePayment = true;  // it may have gone on while this screen was away
      return draw();
    }
    tick();
  }
  throw new Error("the stream ended");
}
async function shopping() {
  if (await over()) return;
  let greeting = true;  // the first message is no news
  for await (const message of listen(`/customer-session/${session.session_id}/events`, session.token)) {
    if (!message) continue;
    if (!greeting) hear(message.type);
    greeting = false;
    if (await over()) return;
  }
  throw new Error("the stream ended");
}
function hear(type) {
  if (WEIGHT[type]) warning = WEIGHT[type];
  if (type === "cart-updated") warning = null;
  if (/^payment/i.test(type)) { mayHavePayment = true; declined = type === "payment-failed"; }
}
// Reads the session and shows it; says whether it is over, or not this screen's to know of any more.
async function over() {
  const { session_id: id, token: access } = session;
  let news;
  try {
    news = {
      session: await ask("GET", `/customer-session/${id}`, { access }),
      basket: await ask("GET", `/cart-items/session/${id}`, { access }),
    };
    news.payment = mayHavePayment || !news.session.is_active ? await readPayment(id, access) : null;
    mayHavePayment = !!news.payment;
    if (news.payment?.status === "open" && bill?.id !== news.payment.payment_id) {
      const path = `/payment/get-payment/${id}`;
      bill = { id: news.payment.payment_id, picture: await picture(await call("GET", path, { access, headers: SVG })) };
    }
  } catch (error) {
    if (![401, 403, 404].includes(error.status)) throw error;
    if (seen && error.body.code === "ended_unpaid") {  // there is no more to read; what it was is known
      news = { ...seen, session: { ...seen.session, is_active: false } };
    }
  }
  if (seen && news && JSON.stringify(news.basket) !== JSON.stringify(seen.basket)) warning = null;
  seen = news ?? null;
  lost = null;
  if (!news?.session.is_active) {
    if (news) goodbye = { seen, at: performance.now() };
    session = seen = null;
    showError(null);
    $("till").close();
  }
  draw();
  return !session;
}
async function run() {
  for (let pause = 1; ;) {
    try {
      await (session ? shopping() : atTheCart());
      pause = 1;
    } catch (error) {
      if (!lost) pause = 1;  // it was open
      lost = error;
      qr = null;  // it may be void when we are back
      draw();
      await nap(Math.max(pause * (.5 + Math.random() / 2), error.after ?? 0));
      pause = Math.min(pause * 2, SLOWEST);
    }
  }
}

// Once a second: whatever is due

let asking = false;
const SVG = { Accept: "image/svg+xml" };
async function picture(answer) { return URL.createObjectURL(await answer.blob()); }
function tick() {
  if (stream && since(stream.heard) > SILENCE) return stream.stop.abort();
  if (goodbye && performance.now() - goodbye.at > THANKS * 1000) { goodbye = null; draw(); }
  if (!stream || lost || session || goodbye || asking) return;
  if (qr ? since(qr.made) > qr.seconds * FRESH : !refused || since(refused.at) > RETRY) renew();
}
async function renew() {
  asking = true;
  const mine = stream;
  let made = null, failed = null;
  try {
    const answer = await call("GET", `/customer-session/qr/${cart}`, { headers: SVG });
    made = { made: mark(), seconds: Number(answer.headers.get("Qr-Seconds")), picture: await picture(answer) };
  } catch (error) {
    failed = Object.assign(error, { at: mark() });
  }
  asking = false;
  if (stream !== mine || session) return;  // of another time
  if (qr) URL.revokeObjectURL(qr.picture);
  qr = made;
  refused = failed;
  draw();
}

// The key, in the address once, never shown to anybody but the server

async function showKey() {
  const key = location.hash.slice(1);
  if (!key) return;
  try { await ask("POST", `/screen/${cart}`, { json: { key } }); }
  catch (error) { if (!(error.status < 429)) throw error; }  // a wrong one: the cookie, if there is one, decides
  history.replaceState(null, "", location.pathname);
}

// Paying

onTap("pay", () => ask("POST", `/payment/create-payment/${session.session_id}`, { access: session.token }), showError);
// In a frame, so that this page goes on beside it and takes the screen back when it is paid, or when nobody pays.
$("payHere").addEventListener("click", () => {
  const frame = document.createElement("iframe");
  const url = new URL(seen.payment.payment_url);
  frame.sandbox = "allow-forms allow-same-origin";  // not the way out of this page
  frame.referrerPolicy = "no-referrer";
  frame.title = t("payHere");
  frame.src = url;
  frame.addEventListener("load", () => {  // its own way back would lead to the page for phones
    if (url.origin !== location.origin) return;
    let path;
    try { path = frame.contentWindow.location.pathname; } catch { /* a page that is not to be framed */ }
    if (path !== url.pathname) $("till").close();
  });
  $("till").append(frame);
  $("till").showModal();
});
$("back").addEventListener("click", () => $("till").close());
$("till").addEventListener("close", () => $("till").querySelector("iframe")?.remove());

$("next").addEventListener("click", () => { goodbye = null; draw(); tick(); });
addEventListener("hashchange", () => location.reload());
addEventListener("offline", () => stream?.stop.abort());
addEventListener("online", () => wake());
document.addEventListener("visibilitychange", () => { wake(); tick(); });
startSpeaking(() => { showError(null); draw(); });
draw();
setInterval(tick, 1000);
run();
