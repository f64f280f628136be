// What a phone's camera opens: join, shop, pay, receipt.

import {
  $, ask as anyone, drawBasket, drawOutcome, here as qr, learn, list, listen, number, onTap as tapped, onceKey,
  problem, readSession, show as reveal, showError, shown, startSpeaking, t, WEIGHT,
} from "./page.js";

/** @import { Kept, Page, PhoneState, Work } from "./types" */

const TEXTS = {
  en: {
    welcome: "Shop with this cart", how: "Join, put things into the cart, and pay here with your phone.",
    guest: "Continue as guest", signIn: "Sign in", signUp: "Create an account", otherWay: "Join in another way",
    emailOrName: "E-mail or user name", email: "E-mail", name: "Your name", password: "Password",
    newPassword: "Password, at least 8 characters", as: "Continue as {0}", resume: "Back to your shopping",
    leave: "Leave the cart",
    overMore: "Nothing was paid. To shop again, scan the QR on a cart.",
    nothing: "No shopping here yet",
    scanFirst: "Scan the QR on a cart with your phone's camera.",
  },
  ar: {
    welcome: "تسوّق بهذه العربة", how: "انضم، ضع مشترياتك في العربة، وادفع من هاتفك هنا.",
    guest: "المتابعة كضيف", signIn: "تسجيل الدخول", signUp: "إنشاء حساب", otherWay: "الانضمام بطريقة أخرى",
    emailOrName: "البريد الإلكتروني أو اسم المستخدم", email: "البريد الإلكتروني", name: "اسمك", password: "كلمة المرور",
    newPassword: "كلمة المرور، ٨ أحرف على الأقل", as: "المتابعة باسم {0}", resume: "العودة إلى تسوقك",
    leave: "ترك العربة",
    overMore: "لم يُدفع شيء. للتسوق مرة أخرى امسح رمز QR على إحدى العربات.",
    nothing: "لا يوجد تسوق هنا بعد",
    scanFirst: "امسح رمز QR على إحدى العربات بكاميرا هاتفك.",
  },
};
const PROBLEMS = {
  en: {
    not_a_qr: "This is not a QR of this shop. Please scan the QR on a cart again.",
  },
  ar: {
    not_a_qr: "هذا ليس رمز QR لهذا المتجر. امسح الرمز الموجود على العربة مرة أخرى.",
    qr_void: "استُخدم هذا الرمز من قبل؛ امسح الرمز الظاهر على العربة الآن.",
    qr_expired: "انتهت صلاحية هذا الرمز؛ امسح الرمز الظاهر على العربة الآن.",
    shopper_has_session: "لديك تسوق جارٍ بعربة أخرى.",
    wrong_login: "البريد الإلكتروني أو اسم المستخدم أو كلمة المرور غير صحيحة.",
    user_inactive: "هذا الحساب مغلق.",
    account_taken: "يوجد حساب بهذا البريد الإلكتروني أو الاسم.",
    bad_token: "سجّل الدخول مرة أخرى من فضلك.",
    expired_token: "سجّل الدخول مرة أخرى من فضلك.",
    basket_not_empty: "السلة ليست فارغة؛ أعد المنتجات أو ادفع.",
    invalid_request: "شيء في النموذج غير صحيح؛ راجعه من فضلك.",
  },
};

learn(TEXTS, PROBLEMS);

const POLL = 3000, SLOWEST = 15000, STREAM_AGAIN = 60000;  // milliseconds

/** @type {PhoneState} */
const state = {
  kept: {}, seen: null, warning: null, resume: null, live: false, stream: null, streaming: false, streamPause: POLL,
  streamAfter: 0, timer: undefined, pause: POLL, reading: null, onceMore: false,
};
try { state.kept = JSON.parse(sessionStorage.getItem("shopping") ?? "{}"); } catch { /* nothing to go on with */ }
/** @param {Kept} changes */
function keep(changes, from = state.kept) {
  state.kept = { ...from, ...changes };
  try { sessionStorage.setItem("shopping", JSON.stringify(state.kept)); } catch { /* private mode: until a reload */ }
}

/** @type {Page["ask"]} */
const ask = (method, path, question) => anyone(method, path, { access: state.kept.access, ...question });
/** @param {string | null} key */
function warn(key) {
  state.warning = key;
  $("warning").textContent = key ? t(key) : "";
  $("warning").hidden = !key;
}
/** @param {string} id @param {Work} work @param {string} [event] */
const onTap = (id, work, event) => tapped(id, work, failed, event);
/** @type {Page["showError"]} */
function failed(error) {
  if (["bad_token", "expired_token", "unknown_session"].includes(problem(error)?.body.code ?? "")) {
    keep({}, {});  // nothing can be done with it any more; an account's shopping is found again by its QR
    start();
  }
  showError(error);
}

// Showing

/** @type {Page["show"]} */
function show(name) {
  reveal(name);
  const { cart } = state.kept;
  $("cart").textContent = cart && name !== "join" ? t("cart", number(cart)) : t("title");
}
function draw() {
  if (!state.seen) return;
  const { session, basket, payment } = state.seen;
  if (session.is_active) {
    const full = drawBasket(basket, list(basket.items));
    $("pay").hidden = !full;
    $("leave").hidden = full;
    $("status").textContent = !navigator.onLine ? t("offline")
      : payment && !["open", "creating"].includes(payment.status) ? t("unpaid") : "";
    show("shop");
    return;
  }
  $("bought").replaceChildren(...(drawOutcome(state.seen) ? list(basket.items) : []));
  $("status").textContent = "";
  warn(null);
  show("receipt");
}

// Live: the stream says that something is new, and what it is is read. Without a stream it is read every few seconds.

function read() {  // one at a time; who asks meanwhile gets one more
  state.onceMore = !!state.reading;
  return state.reading ??= readNow().finally(() => {
    state.reading = null;
    if (state.onceMore) read();
  });
}
async function readNow() {
  const { session: of, access } = state.kept;
  if (!state.live || !of || !access) return;
  try {
    const news = await readSession(of, access, (active) => state.kept.payment || (!active && !state.kept.left));
    if (!state.live || state.kept.session !== of) return;
    state.pause = POLL;
    if (!news.session.is_active) { keep({ over: true, cart: news.session.cart_id }); stop(); }
    if (JSON.stringify(news) === JSON.stringify(state.seen) && $("status").textContent !== t("offline")) return;
    state.seen = news;
    draw();
  } catch (error) {
    if (!state.live || state.kept.session !== of) return;
    if ([401, 404].includes(problem(error)?.status ?? 0)) { stop(); failed(error); return; }
    $("status").textContent = t("offline");
    state.pause = Math.min(state.pause * 1.5, SLOWEST);
  }
}
async function round() {
  clearTimeout(state.timer);
  if (!state.live) return;
  if (!state.kept.over) follow();
  if (!document.hidden) await read();
  clearTimeout(state.timer);
  if (state.live && !state.streaming) state.timer = setTimeout(round, state.pause);
}
async function follow() {
  if (state.stream || performance.now() < state.streamAfter) return;
  const mine = state.stream = new AbortController();
  try {
    for await (const message of listen(`/customer-session/${state.kept.session}/events`, state.kept.access, mine)) {
      if (!state.streaming) {
        clearTimeout(state.timer);
        Object.assign(state, { streaming: true, streamPause: POLL });
      }
      if (!message) continue;
      const { type } = message;
      if (/^payment/i.test(type)) keep({ payment: true });
      if (type !== "item-read") warn(WEIGHT[type] ?? (type === "payment-failed" ? "declined" : null));
      read();
    }
  } catch { /* below: it always ends with an error */ }
  if (state.stream !== mine) return;
  state.stream = null;
  state.streaming = false;
  state.streamAfter = performance.now() + state.streamPause;
  state.streamPause = Math.min(state.streamPause * 2, STREAM_AGAIN);
  round();
}
function stop() {
  clearTimeout(state.timer);
  state.stream?.abort();
  Object.assign(state, { live: false, stream: null, streaming: false });
}
function awake() {
  if (document.hidden) return;
  Object.assign(state, { pause: POLL, streamPause: POLL, streamAfter: 0 });
  round();
}

// Joining

function showJoin() {
  const { session, cart, over, pending } = state.kept;
  const known = pending && !pending.guest ? pending : null;
  if (session && !over) state.resume = { session_id: session, cart_id: cart };
  const { resume } = state;
  $("resume").hidden = !resume;
  $("resume").textContent = t("resume") + (resume?.cart_id ? ` (${t("cart", number(resume.cart_id))})` : "");
  $("resume").onclick = () => {
    showError(null);
    const { session_id, cart_id } = /** @type {NonNullable<typeof resume>} */ (resume);
    if (session !== session_id) keep({}, { ...pending, session: session_id, cart: cart_id });
    go();
  };
  $("again").hidden = !known;
  $("again").textContent = known ? t("as", known.name) : "";
  $("other").hidden = !known;
  $("ways").hidden = !!known;
  $("status").textContent = "";
  stop();
  show("join");
}
/** @param {any} answer @param {boolean} guest */
async function meet({ access_token: access, user }, guest) {
  // Remembered before the scan: if its answer is lost, the same person asks again.
  keep({ pending: { access, guest, name: user.full_name, qr } });
  showJoin();
  await join();
}
async function join() {
  const { pending } = state.kept;
  try {
    const session = await ask("POST", "/customer-session/scan-qr", { access: pending?.access, json: { token: qr } });
    keep({}, { ...pending, session: session.session_id, cart: session.cart_id });
    go();
  } catch (error) {
    const body = /** @type {any} */ (problem(error)?.body);
    if (body?.code === "shopper_has_session") { state.resume = body; showJoin(); }
    throw error;
  }
}

onTap("guest", async () => {
  const { pending } = state.kept;
  if (pending?.guest && pending.qr === qr) return join();
  await meet(await ask("POST", "/auth/guest", { access: null, json: { token: qr } }), true);
});
/** @param {any} form */
async function signIn(form) {
  await meet(await ask("POST", "/auth/login", { access: null, form }), false);
}
onTap("login", signIn, "submit");
onTap("signup", async (form) => {
  await ask("POST", "/auth/signup", { access: null, json: form });
  await signIn({ username: form.email, password: form.password });
}, "submit");
onTap("again", join);
onTap("other", () => { keep({ pending: null }); state.resume = null; showJoin(); });

// Shopping

onTap("pay", async () => {
  const payKey = state.kept.payKey ?? onceKey();
  keep({ payKey });
  try {
    const headers = { "Idempotency-Key": payKey };
    const payment = await ask("POST", `/payment/create-payment/${state.kept.session}`, { headers });
    keep({ payKey: null, payment: true });
    location.assign(payment.payment_url);
  } catch (error) {
    if (problem(error)) keep({ payKey: null });  // answered: the next tap is another attempt
    read();
    throw error;
  }
});
onTap("leave", async () => {
  try {
    await ask("POST", `/customer-session/${state.kept.session}/end`);
    keep({ left: true });
  } finally { await read(); }
});

function go() {
  state.seen = null;
  state.live = true;
  round();
}
function start() {
  const { session, qr: joined, over, guest, access, name = "", pending } = state.kept;
  if (session && (qr === "receipt" || joined === qr)) go();
  else if (qr === "receipt") show("nothing");
  else {
    if (over && !guest && access && !pending) keep({ pending: { access, guest: false, name, qr } });  // the next cart
    showJoin();
  }
}

startSpeaking(() => {
  if (shown.section === "join") showJoin(); else { if (shown.section) show(shown.section); draw(); }
  showError(shown.error);
  warn(state.warning);
});
document.addEventListener("visibilitychange", awake);
addEventListener("online", awake);
addEventListener("pageshow", (event) => event.persisted && awake());
addEventListener("offline", () => state.live && draw());
start();
