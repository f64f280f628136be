// What the pages of phones and of carts' screens share: language, asking the server, and how a basket looks. The server
// judges everything, times too; a page only asks, shows and says what the person wants.

/** @import { Page, Refusal, Texts } from "./types" */

/** @type {Texts} */
const TEXTS = {
  en: {
    title: "Shopping cart", other: "العربية", cart: "Cart {0}",
    basket: "Your basket", empty: "Nothing here yet. Scan a product with the cart.",
    pay: "Pay", unpaid: "Not paid yet. You can try again.", declined: "The payment was declined; you can try again.",
    one: "{0} item", many: "{0} items", each: "{0} × {1}",
    paid: "Thank you!", paidMore: "It is paid. You can leave with your shopping.", sum: "Paid",
    paidExtra: "You paid after this shopping was closed. Please ask the staff; you get the money back.",
    over: "This shopping has ended", number: "Receipt {0}",
    offline: "No connection. Trying again …", failed: "There is no connection. Please try again.",
    more: "The cart feels something that was not scanned. Please scan it, or take it out.",
    less: "The cart misses something. Please put it back, or remove it at the cart's scanner.",
  },
  ar: {
    title: "عربة التسوق", other: "English", cart: "العربة {0}",
    basket: "سلتك", empty: "لا شيء هنا بعد. امسح منتجًا بماسح العربة.",
    pay: "ادفع", unpaid: "لم يتم الدفع بعد. يمكنك المحاولة مرة أخرى.", declined: "رُفض الدفع؛ يمكنك المحاولة مرة أخرى.",
    one: "منتج واحد", many: "عدد المنتجات: {0}", each: "{0} × {1}",
    paid: "شكرًا لك!", paidMore: "تم الدفع. يمكنك المغادرة بمشترياتك.", sum: "المدفوع",
    paidExtra: "دفعت بعد إغلاق هذا التسوق. اسأل الموظفين من فضلك؛ ستسترد المبلغ.",
    over: "انتهى هذا التسوق", number: "إيصال رقم {0}",
    offline: "لا يوجد اتصال. نحاول مرة أخرى …", failed: "لا يوجد اتصال. حاول مرة أخرى من فضلك.",
    more: "تشعر العربة بشيء لم يُمسح. امسحه أو أخرجه من فضلك.",
    less: "ينقص شيء من العربة. أعده من فضلك، أو احذفه بماسح العربة.",
  },
};
// By the problem's `code`; what is not here is shown as the server says it.
/** @type {Texts} */
const PROBLEMS = {
  en: {
    cart_busy: "This cart is in use by somebody else; please take another one.",
  },
  ar: {
    cart_busy: "هذه العربة يستخدمها شخص آخر؛ خذ عربة أخرى من فضلك.",
    cart_offline: "هذه العربة غير متصلة؛ خذ عربة أخرى من فضلك.",
    out_of_service: "هذه العربة خارج الخدمة؛ خذ عربة أخرى من فضلك.",
    too_many_requests: "محاولات كثيرة؛ انتظر لحظة من فضلك.",
    session_over: "انتهى هذا التسوق.",
    provider_failed: "تعذّر إنشاء الدفع؛ حاول مرة أخرى.",
    overloaded: "الخادم مشغول؛ حاول بعد قليل.",
  },
};

/** @type {Page["$"]} */
export const $ = (id) => /** @type {any} */ (document.getElementById(id));
export const [, root = "", here = ""] = /^(.*?)\/(?:(?:s|screen)\/)?([^/]*)$/.exec(location.pathname) ?? [];

/** @type {Page["shown"]} */
export const shown = { lang: "en", locale: "en", section: null, error: null };

// Language

/** @type {Page["learn"]} */
export function learn(texts, problems) {
  for (const lang of ["en", "ar"]) {
    Object.assign(TEXTS[lang], texts[lang]);
    Object.assign(PROBLEMS[lang], problems[lang]);
  }
}
/** @param {string} [wanted] */
function speak(wanted) {
  const spoken = navigator.languages ?? [navigator.language];
  const lang = wanted ?? (spoken.map((one) => one.slice(0, 2)).find((one) => TEXTS[one]) ?? "en");
  const locale = spoken.find((one) => one.startsWith(lang)) ?? lang;
  Object.assign(shown, { lang, locale: locale === "ar" ? "ar-EG" : locale });
  const page = document.documentElement;
  page.lang = lang;
  page.dir = lang === "ar" ? "rtl" : "ltr";
  document.title = t("title");
  for (const each of document.querySelectorAll("[data-t]")) each.textContent = t(each.getAttribute("data-t") ?? "");
  $("language").textContent = t("other");
  $("language").lang = lang === "ar" ? "en" : "ar";
}
/** @type {Page["startSpeaking"]} */
export function startSpeaking(redraw) {
  let wanted;
  try { wanted = localStorage.getItem("language"); } catch { /* none */ }
  speak(wanted && TEXTS[wanted] ? wanted : undefined);
  $("language").addEventListener("click", () => {
    const other = shown.lang === "ar" ? "en" : "ar";
    try { localStorage.setItem("language", other); } catch { /* for this page only */ }
    speak(other);
    redraw();
  });
}
/** @type {Page["t"]} */
export const t = (key, ...values) => TEXTS[shown.lang][key].replace(/\{(\d)\}/g, (_, n) => String(values[n]));
/** @type {Page["number"]} */
export const number = (value) => new Intl.NumberFormat(shown.locale).format(Number(value));
/** @type {Page["money"]} */
function money(value, { currency, currency_digits: digits }) {  // browsers know other decimals for some currencies
  const decimals = { minimumFractionDigits: digits, maximumFractionDigits: digits };
  return new Intl.NumberFormat(shown.locale, { style: "currency", currency, ...decimals }).format(value);
}

// Asking the server

const PATIENCE = 20000;
export class Problem extends Error {
  /** @param {Response} answer @param {Refusal} body */
  constructor({ status, headers }, body) {
    super(body.detail);
    this.status = status;
    this.body = body;
    this.after = Number(headers.get("Retry-After"));
  }
}
/** @type {Page["problem"]} */
export const problem = (error) => error instanceof Problem ? error : null;
export const onceKey = () => crypto.getRandomValues(new Uint32Array(4)).join("-");
/** @type {Page["call"]} */
export async function call(method, path, { access, json, form, headers, signal } = {}) {
  const answer = await fetch(root + path, {
    method,
    headers: {
      ...(access && { Authorization: `Bearer ${access}` }),
      ...(json && { "Content-Type": "application/json" }),
      // A browser repeats a call by itself when a kept connection dies, and nobody knows whether it was done.
      ...(method !== "GET" && { "Idempotency-Key": onceKey() }),
      ...headers,
    },
    body: json ? JSON.stringify(json) : form && new URLSearchParams(form),
    cache: "no-store",
    signal: signal ?? AbortSignal.timeout(PATIENCE),
  });
  if (!answer.ok) throw new Problem(answer, await answer.json().catch(() => ({})));
  return answer;
}
/** @type {Page["ask"]} */
export const ask = async (...question) => (await call(...question)).json();
/** @type {Page["readSession"]} */
export async function readSession(id, access, paying) {
  const session = await ask("GET", `/customer-session/${id}`, { access });
  const basket = await ask("GET", `/cart-items/session/${id}`, { access });
  let payment = null;
  if (paying(session.is_active)) {
    try { payment = await ask("GET", `/payment/get-payment/${id}`, { access }); }
    catch (error) { if (problem(error)?.body.code !== "no_payment") throw error; }
  }
  return { session, basket, payment };
}

// Listening

const SILENCE = 40;  // seconds, of a stream whose server says something every 15: the connection is dead
/** @type {Page["WEIGHT"]} */
export const WEIGHT = { "weight increased": "more", "weight decreased": "less" };

/** @type {Page["mark"]} */
export const mark = () => [performance.now(), Date.now()];
/** @type {Page["since"]} */
export const since = ([steady, clock]) => Math.max(performance.now() - steady, Math.abs(Date.now() - clock)) / 1000;

/** @type {Page["listen"]} */
export async function* listen(path, access, stop) {
  const { signal } = stop;
  let heard = mark();
  const watch = setInterval(() => since(heard) > SILENCE && stop.abort(), 1000);
  addEventListener("offline", () => stop.abort(), { signal });
  try {
    const { body } = await call("GET", path, { access, signal });
    const reader = /** @type {ReadableStream} */ (body).pipeThrough(new TextDecoderStream()).getReader();
    for (let text = ""; ;) {
      const { done, value } = await reader.read();
      if (done) throw new Error("the stream ended");
      heard = mark();
      const events = (text + value).split("\n\n");
      text = events.pop() ?? "";
      for (const event of events) yield JSON.parse(event.match(/^data: (.*)/m)?.[1] ?? "null");
    }
  } finally {
    clearInterval(watch);
    stop.abort();
  }
}

// Showing

/** @type {Page["reason"]} */
function reason(error) {
  const { code = "", detail } = problem(error)?.body ?? {};
  return PROBLEMS[shown.lang][code] ?? detail ?? t("failed");
}
/** @type {Page["showError"]} */
export function showError(error) {
  shown.error = error;
  $("error").textContent = error ? reason(error) : "";
  $("error").hidden = !error;
  if (error) $("error").scrollIntoView({ block: "nearest" });
}
/** @type {Page["onTap"]} */
export function onTap(id, work, failed, event = "click") {
  $(id).addEventListener(event, async (/** @type {any} */ tap) => {
    tap.preventDefault();
    const button = tap.submitter ?? tap.currentTarget;
    if (button.ariaBusy === "true") return;  // not `disabled`: the keyboard would lose its place
    button.ariaBusy = "true";
    showError(null);
    try { await work(event === "submit" ? Object.fromEntries(new FormData(tap.target)) : undefined); }
    catch (error) { failed(error); }
    finally { button.ariaBusy = "false"; }
  });
}
/** @type {Page["show"]} */
export function show(name) {
  for (const section of document.querySelectorAll("section")) section.hidden = section.id !== name;
  if (shown.section && shown.section !== name) $(name).querySelector("h1")?.focus();
  shown.section = name;
}
/** @type {Page["el"]} */
function el(name, ...content) {
  const element = document.createElement(name);
  element.append(...content);
  return element;
}
/** @type {Page["list"]} */
export const list = (lines) => lines.map(({ quantity, product }) => {
  const { description, description_ar, product_size, unit_price } = product;
  const name = (shown.lang === "ar" && description_ar) || description;
  const details = [product_size, quantity > 1 && t("each", number(quantity), money(unit_price, product))];
  const small = details.map((detail) => detail ? el("small", el("bdi", detail)) : "");
  return el("li", el("span", el("bdi", name), ...small), el("b", money(unit_price * quantity, product)));
});
/** @type {Page["total"]} */
const total = ({ items, total_price }) => items.length ? money(total_price, items[0].product) : "";
/** @type {Page["drawBasket"]} */
export function drawBasket(basket, lines) {
  const full = basket.items.length > 0;
  $("lines").replaceChildren(...lines);
  $("empty").hidden = full;
  $("count").textContent = basket.item_count === 1 ? t("one", number(1)) : t("many", number(basket.item_count));
  $("total").textContent = total(basket);
  return full;
}
/** @type {Page["drawOutcome"]} */
export function drawOutcome({ basket, payment }) {
  const paid = payment?.status === "paid";
  $("outcome").textContent = t(paid ? "paid" : "over");
  $("thanks").textContent = t(paid ? "paidMore" : payment?.status === "paid_extra" ? "paidExtra" : "overMore");
  $("sum").textContent = total(basket);
  $("sum").parentElement?.toggleAttribute("hidden", !paid);
  $("number").textContent = paid ? t("number", number(payment.payment_id)) : "";
  return paid;
}
