// A cart's own screen, which nobody attends: QR, basket, payment, thank-you, and the next QR. It draws what it knows and
// asks for ever.

import {
  $, ask, call, drawBasket, drawOutcome, here as cart, learn, list, listen, mark, number, onTap, problem, readSession,
  show, showError, since, startSpeaking, t, WEIGHT,
} from "./page.js";

/** @import { Known, ScreenState } from "./types" */

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
const THANKS = 20;  // how long a thank-you stays
const RETRY = 10;  // for a cart that can be used by nobody
const SLOWEST = 15;  // between two attempts
const FRESH = .9;  // of a QR's life, then there is another

/** @type {ScreenState} */
const state = {
  lost: null, refused: null, qr: null, session: null, seen: null, goodbye: null, warning: null, declined: false,
  mayHavePayment: false, bill: null, stream: null, asking: false, wake: () => {},
};

// Showing

function draw() {
  const { lost, refused, qr, session, seen, goodbye, warning, declined } = state;
  $("cart").textContent = t("cart", number(cart));
  $("lost").hidden = !lost || !!problem(lost) || !(seen || goodbye);
  $("warning").hidden = !seen || !(warning || declined);
  $("warning").textContent = warning ? t(warning) : declined ? t("declined") : "";
  if (seen) drawShop(seen);
  else if (goodbye) { drawOutcome(goodbye.seen); show("bye"); }
  else if (lost || refused || !qr || session) drawNotice(lost ?? refused?.error);
  else { $("qr").src = qr.picture; show("idle"); }
}
/** @param {Known} seen */
function drawShop({ basket, payment }) {
  const status = payment?.status;
  const bill = status === "open" && state.bill?.id === payment?.payment_id ? state.bill : null;
  const full = drawBasket(basket, list(basket.items).reverse());  // the newest on top
  $("pay").hidden = !full || status === "open" || status === "creating";
  $("open").hidden = !bill;
  if (bill) $("bill").src = bill.picture;
  $("state").textContent = bill ? t("held") : status === "creating" ? t("moment") : payment ? t("unpaid") : "";
  if (!bill) $("till").close();
  show("shop");
}
/** @param {unknown} error */
function drawNotice(error) {
  const { status = 0, body } = problem(error) ?? {};
  const keyless = [401, 403, 404].includes(status);
  const unusable = ["cart_offline", "out_of_service"].includes(body?.code ?? "");
  $("what").textContent = t(keyless ? (status === 401 ? "needsKey" : "voidKey") : unusable ? "unusable"
    : error && !status ? "noConnection" : "moment");
  $("why").textContent = keyless ? t("operator") : error ? t("again") : "";
  $("command").textContent = `duckycart carts screen-key ${cart}`;
  $("command").hidden = !keyless;
  show("notice");
}

// Listening

/** Whatever comes shows that the connection is there. @param {string} path @param {string} [access] */
async function* hear(path, access) {
  state.stream = new AbortController();
  try {
    for await (const message of listen(path, access, state.stream)) {
      if (state.lost) { state.lost = null; draw(); }
      yield message;
    }
  } finally { state.stream = null; }
}
async function atTheCart() {
  await showKey();
  for await (const session of hear(`/sse/${cart}`)) {
    if (session) {
      Object.assign(state, { session, goodbye: null, qr: null, refused: null, bill: null, warning: null });
      Object.assign(state, { declined: false, mayHavePayment: true });  // it may have gone on while this screen was away
      return draw();
    }
    tick();
  }
}
/** @param {NonNullable<ScreenState["session"]>} session */
async function shopping({ session_id, token }) {
  if (await over(session_id, token)) return;
  let greeting = true;  // the first message is no news
  for await (const message of hear(`/customer-session/${session_id}/events`, token)) {
    if (!message) continue;
    const { type } = message;
    if (!greeting) {
      if (WEIGHT[type]) state.warning = WEIGHT[type];
      if (type === "cart-updated") state.warning = null;
      if (/^payment/i.test(type)) { state.mayHavePayment = true; state.declined = type === "payment-failed"; }
    }
    greeting = false;
    if (await over(session_id, token)) return;
  }
}
// Reads the session and shows it; says whether it is over, or not this screen's to know of any more.
/** @param {number} id @param {string} access */
async function over(id, access) {
  const { seen } = state;
  /** @type {Known | null} */
  let news = null;
  try {
    news = await readSession(id, access, (active) => state.mayHavePayment || !active);
    const { payment } = news;
    state.mayHavePayment = !!payment;
    if (payment?.status === "open" && state.bill?.id !== payment.payment_id) {
      const answer = await call("GET", `/payment/get-payment/${id}`, { access, headers: SVG });
      state.bill = { id: payment.payment_id, picture: await picture(answer) };
    }
  } catch (error) {
    const { status = 0, body } = problem(error) ?? {};
    if (![401, 403, 404].includes(status)) throw error;
    if (seen && body?.code === "ended_unpaid") {  // there is no more to read; what it was is known
      news = { ...seen, session: { ...seen.session, is_active: false } };
    }
  }
  if (seen && news && JSON.stringify(news.basket) !== JSON.stringify(seen.basket)) state.warning = null;
  state.seen = news;
  state.lost = null;
  if (!news?.session.is_active) {
    if (news) state.goodbye = { seen: news, at: performance.now() };
    state.session = state.seen = null;
    showError(null);
    $("till").close();
  }
  draw();
  return !state.session;
}
async function run() {
  for (let pause = 1; ;) {
    try {
      await (state.session ? shopping(state.session) : atTheCart());
      pause = 1;
    } catch (error) {
      if (!state.lost) pause = 1;  // it was open
      state.lost = error;
      state.qr = null;  // it may be void when we are back
      draw();
      const seconds = Math.max(pause * (.5 + Math.random() / 2), problem(error)?.after ?? 0);
      await new Promise((resolve) => { state.wake = () => resolve(0); setTimeout(resolve, seconds * 1000); });
      pause = Math.min(pause * 2, SLOWEST);
    }
  }
}

// Once a second: whatever is due

const SVG = { Accept: "image/svg+xml" };
/** @param {Response} answer */
async function picture(answer) { return URL.createObjectURL(await answer.blob()); }
function tick() {
  const { lost, refused, qr, session, stream, asking } = state;
  if (state.goodbye && performance.now() - state.goodbye.at > THANKS * 1000) { state.goodbye = null; draw(); }
  if (!stream || lost || session || state.goodbye || asking) return;
  if (qr ? since(qr.made) > qr.seconds * FRESH : !refused || since(refused.at) > RETRY) renew();
}
async function renew() {
  state.asking = true;
  const { stream } = state;
  let qr = null, refused = null;
  try {
    const answer = await call("GET", `/customer-session/qr/${cart}`, { headers: SVG });
    qr = { made: mark(), seconds: Number(answer.headers.get("Qr-Seconds")), picture: await picture(answer) };
  } catch (error) {
    refused = { error, at: mark() };
  }
  state.asking = false;
  if (state.stream !== stream || state.session) return;  // of another time
  if (state.qr) URL.revokeObjectURL(state.qr.picture);
  Object.assign(state, { qr, refused });
  draw();
}

// The key, in the address once, never shown to anybody but the server

async function showKey() {
  const key = location.hash.slice(1);
  if (!key) return;
  try { await ask("POST", `/screen/${cart}`, { json: { key } }); }
  catch (error) { if ((problem(error)?.status ?? 500) >= 429) throw error; }  // a wrong one: the cookie, if any, decides
  history.replaceState(null, "", location.pathname);
}

// Paying

onTap("pay", () => state.session && ask("POST", `/payment/create-payment/${state.session.session_id}`, {
  access: state.session.token,
}), showError);
// In a frame, so that this page goes on beside it and takes the screen back when it is paid, or when nobody pays.
$("payHere").addEventListener("click", () => {
  const frame = document.createElement("iframe");
  const url = new URL(state.seen?.payment?.payment_url ?? "");
  frame.sandbox.value = "allow-forms allow-same-origin";  // not the way out of this page
  frame.referrerPolicy = "no-referrer";
  frame.title = t("payHere");
  frame.src = url.href;
  frame.addEventListener("load", () => {  // its own way back would lead to the page for phones
    if (url.origin !== location.origin) return;
    let path;
    try { path = frame.contentWindow?.location.pathname; } catch { /* a page that is not to be framed */ }
    if (path !== url.pathname) $("till").close();
  });
  $("till").append(frame);
  $("till").showModal();
});
$("back").addEventListener("click", () => $("till").close());
$("till").addEventListener("close", () => $("till").querySelector("iframe")?.remove());

$("next").addEventListener("click", () => { state.goodbye = null; draw(); tick(); });
addEventListener("hashchange", () => location.reload());
addEventListener("online", () => state.wake());
document.addEventListener("visibilitychange", () => { state.wake(); tick(); });
startSpeaking(() => { showError(null); draw(); });
draw();
setInterval(tick, 1000);
run();
