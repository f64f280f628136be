// What the pages of phones and of carts' screens share: language, asking the server, and how a basket looks. The server
// judges everything, times too; a page only asks, shows and says what the person wants.

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

export const $ = (id) => document.getElementById(id);
export const [root, here] = location.pathname.split(/\/(?:s|screen)\/(?=[^/]*$)/);

// Language

export let lang;
let locale;
export function learn(texts, problems = {}) {  // what one page alone has to say
  for (const each of ["en", "ar"]) {
    Object.assign(TEXTS[each], texts[each]);
    Object.assign(PROBLEMS[each], problems[each]);
  }
}
export function speak(wanted) {
  const spoken = navigator.languages ?? [navigator.language];
  lang = wanted ?? (spoken.map((one) => one.slice(0, 2)).find((one) => TEXTS[one]) ?? "en");
  locale = spoken.find((one) => one.startsWith(lang)) ?? (lang === "ar" ? "ar-EG" : lang);
  if (locale === "ar") locale = "ar-EG";
  const page = document.documentElement;
  page.lang = lang;
  page.dir = lang === "ar" ? "rtl" : "ltr";
  document.title = t("title");
  for (const element of document.querySelectorAll("[data-t]")) element.textContent = t(element.dataset.t);
  $("language").textContent = t("other");
  $("language").lang = lang === "ar" ? "en" : "ar";
}
export function startSpeaking(redraw) {
  let wanted;
  try { wanted = localStorage.getItem("language"); } catch { /* none */ }
  speak(TEXTS[wanted] ? wanted : undefined);
  $("language").addEventListener("click", () => {
    const other = lang === "ar" ? "en" : "ar";
    try { localStorage.setItem("language", other); } catch { /* for this page only */ }
    speak(other);
    redraw();
  });
}
export const t = (key, ...values) => TEXTS[lang][key].replace(/\{(\d)\}/g, (_, n) => values[n]);
export const number = (value) => new Intl.NumberFormat(locale).format(value);
export function money(value, { currency, currency_digits: digits }) {  // browsers know other decimals for some currencies
  const decimals = { minimumFractionDigits: digits, maximumFractionDigits: digits };
  return new Intl.NumberFormat(locale, { style: "currency", currency, ...decimals }).format(value);
}

// Asking the server

const PATIENCE = 20000;
export class Problem extends Error {
  constructor({ status, headers }, body) {
    super(body.detail);
    this.status = status;
    this.body = body;
    this.after = Number(headers.get("Retry-After"));
  }
}
const onceKey = () => crypto.getRandomValues(new Uint32Array(4)).join("-");
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
export const ask = async (...question) => (await call(...question)).json();
export function reason(error) {
  const { code, detail } = error instanceof Problem ? error.body : {};
  return PROBLEMS[lang][code] ?? detail ?? t("failed");
}
export async function readPayment(session, access) {
  try { return await ask("GET", `/payment/get-payment/${session}`, { access }); }
  catch (error) { if (error.body?.code === "no_payment") return null; throw error; }
}

// Showing

let shownError = null;
export function showError(error) {
  shownError = error;
  $("error").textContent = error ? reason(error) : "";
  $("error").hidden = !error;
  if (error) $("error").scrollIntoView({ block: "nearest" });
}
export const errorShown = () => shownError;
export function onTap(id, work, failed, event = "click") {
  $(id).addEventListener(event, async (tap) => {
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
export let shown = null;
export function show(name) {
  for (const section of document.querySelectorAll("section")) section.hidden = section.id !== name;
  if (shown && shown !== name) $(name).querySelector("h1").focus();
  shown = name;
}
function el(name, text) {
  const element = document.createElement(name);
  element.textContent = text;
  return element;
}
export function list(lines) {
  return lines.map(({ quantity, product }) => {
    const { description, description_ar, product_size, unit_price } = product;
    const item = el("li", "");
    const what = el("span", "");
    what.append(el("bdi", (lang === "ar" && description_ar) || description));
    const details = [product_size, quantity > 1 && t("each", number(quantity), money(unit_price, product))];
    for (const detail of details.filter(Boolean)) {
      const small = el("small", "");
      small.append(el("bdi", detail));
      what.append(small);
    }
    item.append(what, el("b", money(unit_price * quantity, product)));
    return item;
  });
}
export function totals(basket) {  // as texts; `total` is empty for an empty basket
  const product = basket.items[0]?.product;
  return {
    total: product ? money(basket.total_price, product) : "",
    count: basket.item_count === 1 ? t("one", number(1)) : t("many", number(basket.item_count)),
  };
}
