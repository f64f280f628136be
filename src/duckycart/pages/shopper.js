// What a phone's camera opens: join, shop, pay, receipt.

import {
  $, Problem, ask as anyone, errorShown, here as qr, learn, list, number, onTap as tapped, readPayment, root,
  show as reveal, showError, shown, startSpeaking, t, totals,
} from "./page.js";

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

// What this tab remembers: who shops (access, guest, name, joined by which qr), where (session, cart), how far (over,
// left, payment, payKey). `pending` is somebody who is known but has not joined yet.
let state = {};
try { state = JSON.parse(sessionStorage.getItem("shopping")) ?? {}; } catch { /* nothing to go on with */ }
function keep(changes, from = state) {
  state = { ...from, ...changes };
  try { sessionStorage.setItem("shopping", JSON.stringify(state)); } catch { /* private mode: until a reload */ }
}

const ask = (method, path, options) => anyone(method, path, { access: state.access, ...options });
let shownWarning = null;
function warn(key) {
  shownWarning = key;
  $("warning").textContent = key ? t(key) : "";
  $("warning").hidden = !key;
}
const onTap = (id, work, event) => tapped(id, work, failed, event);
function failed(error) {
  const { code } = error.body ?? {};
  if (["bad_token", "expired_token", "unknown_session"].includes(code)) {
    keep({}, {});  // nothing can be done with it any more; an account's shopping is found again by its QR
    start();
  }
  showError(error);
}

// Showing

function show(name) {
  reveal(name);
  $("cart").textContent = state.cart && name !== "join" ? t("cart", number(state.cart)) : t("title");
}
let seen = null;  // the newest that the server said: session, basket, payment
function draw() {
  if (!seen) return;
  const { session, basket, payment } = seen;
  const { total, count } = totals(basket);
  if (session.is_active) {
    $("lines").replaceChildren(...list(basket.items));
    $("empty").hidden = !!total;
    $("count").textContent = count;
    $("total").textContent = total;
    $("pay").hidden = !total;
    $("leave").hidden = !!total;
    $("status").textContent = !navigator.onLine ? t("offline")
      : payment && !["open", "creating"].includes(payment.status) ? t("unpaid") : "";
    show("shop");
    return;
  }
  const paid = payment?.status === "paid";
  $("outcome").textContent = t(paid ? "paid" : "over");
  $("thanks").textContent = t(paid ? "paidMore" : payment?.status === "paid_extra" ? "paidExtra" : "overMore");
  $("bought").replaceChildren(...(paid ? list(basket.items) : []));
  $("sum").textContent = total;
  $("sum").parentElement.hidden = !paid;
  $("number").textContent = paid ? t("number", number(payment.payment_id)) : "";
  $("status").textContent = "";
  warn(null);
  show("receipt");
}

// Live: the socket says that something is new, and what it is is read. Without a socket it is read every few seconds.

const WARNINGS = { "weight increased": "more", "weight decreased": "less", "payment-failed": "declined" };
const POLL = 3000, SLOWEST = 15000, SOCKET_AGAIN = 60000;
let live = false, socket = null, timer = null, pause = POLL, socketPause = POLL, socketAfter = 0, running = null, onceMore = false;

function read() {  // one at a time; who asks meanwhile gets one more
  if (running) { onceMore = true; return running; }
  running = readNow().finally(() => {
    running = null;
    if (onceMore) { onceMore = false; read(); }
  });
  return running;
}
async function readNow() {
  if (!live) return;
  const of = state.session;
  try {
    const session = await ask("GET", `/customer-session/${of}`);
    const basket = await ask("GET", `/cart-items/session/${of}`);
    const payment = state.payment || (!session.is_active && !state.left) ? await readPayment(of, state.access) : null;
    if (!live || state.session !== of) return;
    const news = { session, basket, payment };
    pause = POLL;
    if (!session.is_active) { keep({ over: true, cart: session.cart_id }); stop(); }
    if (JSON.stringify(news) === JSON.stringify(seen) && $("status").textContent !== t("offline")) return;
    seen = news;
    draw();
  } catch (error) {
    if (!live || state.session !== of) return;
    if (error.status === 401 || error.status === 404) { stop(); failed(error); return; }
    $("status").textContent = t("offline");
    pause = Math.min(pause * 1.5, SLOWEST);
  }
}
async function round() {
  clearTimeout(timer);
  if (!live) return;
  if (!state.over) listen();
  if (!document.hidden) await read();
  clearTimeout(timer);
  if (live && socket?.readyState !== WebSocket.OPEN) timer = setTimeout(round, pause);
}
function listen() {
  if (socket || performance.now() < socketAfter) return;
  const url = new URL(`${root}/ws/${state.session}`, location.origin);
  url.protocol = url.protocol.replace("http", "ws");
  url.searchParams.set("token", state.access);
  const mine = socket = new WebSocket(url);
  mine.onopen = () => { clearTimeout(timer); socketPause = POLL; read(); };
  mine.onmessage = ({ data }) => {
    const { type } = JSON.parse(data);
    if (/^payment/i.test(type)) keep({ payment: true });
    if (type !== "item-read") warn(WARNINGS[type] ?? null);
    read();
  };
  mine.onclose = () => {
    if (socket !== mine) return;
    socket = null;
    socketAfter = performance.now() + socketPause;
    socketPause = Math.min(socketPause * 2, SOCKET_AGAIN);
    round();
  };
}
function stop() {
  live = false;
  clearTimeout(timer);
  const old = socket;
  socket = null;
  old?.close();
}
function awake() {
  if (document.hidden) return;
  pause = socketPause = POLL;
  socketAfter = 0;
  round();
}

// Joining

let resume = null;  // shopping that this person has already
function showJoin() {
  const known = state.pending && !state.pending.guest ? state.pending : null;
  if (state.session && !state.over) resume = { session_id: state.session, cart_id: state.cart };
  $("resume").hidden = !resume;
  $("resume").textContent = t("resume") + (resume?.cart_id ? ` (${t("cart", number(resume.cart_id))})` : "");
  $("resume").onclick = () => {
    showError(null);
    if (state.session !== resume.session_id) {
      keep({}, { ...state.pending, session: resume.session_id, cart: resume.cart_id });
    }
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
async function meet(pending) {  // remembered before the scan: if its answer is lost, the same person asks again
  keep({ pending: { ...pending, qr } });
  showJoin();
  await join();
}
async function join() {
  const { pending } = state;
  try {
    const session = await ask("POST", "/customer-session/scan-qr", { access: pending.access, json: { token: qr } });
    keep({}, { ...pending, session: session.session_id, cart: session.cart_id });
    go();
  } catch (error) {
    if (error.body?.code === "shopper_has_session") { resume = error.body; showJoin(); }
    throw error;
  }
}
const shopper = ({ access_token, user }, guest) => ({ access: access_token, guest, name: user.full_name });

onTap("guest", async () => {
  if (state.pending?.guest && state.pending.qr === qr) return join();
  await meet(shopper(await ask("POST", "/auth/guest", { access: null, json: { token: qr } }), true));
});
async function signIn(form) {
  await meet(shopper(await ask("POST", "/auth/login", { access: null, form }), false));
}
onTap("login", signIn, "submit");
onTap("signup", async (form) => {
  await ask("POST", "/auth/signup", { access: null, json: form });
  await signIn({ username: form.email, password: form.password });
}, "submit");
onTap("again", join);
onTap("other", () => { keep({ pending: null }); resume = null; showJoin(); });

// Shopping

onTap("pay", async () => {
  if (!state.payKey) keep({ payKey: crypto.getRandomValues(new Uint32Array(4)).join("-") });
  try {
    const payment = await ask("POST", `/payment/create-payment/${state.session}`, {
      headers: { "Idempotency-Key": state.payKey },
    });
    keep({ payKey: null, payment: true });
    location.assign(payment.payment_url);
  } catch (error) {
    if (error instanceof Problem) keep({ payKey: null });  // answered: the next tap is another attempt
    read();
    throw error;
  }
});
onTap("leave", async () => {
  try {
    await ask("POST", `/customer-session/${state.session}/end`);
    keep({ left: true });
  } finally { await read(); }
});

function go() {
  seen = null;
  live = true;
  round();
}
function start() {
  const here = qr === "receipt" || state.qr === qr;
  if (state.session && here) go();
  else if (qr === "receipt") show("nothing");
  else {
    if (state.over && !state.guest && state.access && !state.pending) {
      keep({ pending: { access: state.access, guest: false, name: state.name, qr } });  // signed in, the next cart
    }
    showJoin();
  }
}

startSpeaking(() => {
  if (shown === "join") showJoin(); else { show(shown); draw(); }
  showError(errorShown());
  warn(shownWarning);
});
document.addEventListener("visibilitychange", awake);
addEventListener("online", awake);
addEventListener("pageshow", (event) => event.persisted && awake());
addEventListener("offline", () => live && draw());
start();
