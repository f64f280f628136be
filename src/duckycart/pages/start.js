// The start page says what this server is and whether it is ready, and leads on.
import { $, ask, learn, number, onTap, problem, root, showError, startSpeaking, t } from "./page.js";

/** @type {import("./types").Texts} */
const TEXTS = {
  en: {
    title: "DuckyCart",
    what: "This is the server of smart shopping carts",
    ready: "It is ready. Carts connected: {0}.", unready: "It is not ready: {0}",
    shopping: "To shop", shoppingMore: "Scan the QR that a cart shows, with the camera of any phone.",
    screen: "A cart's screen", screenMore: "The page for a tablet on a cart. It needs the key that the shop made for it.",
    cartNumber: "Number of the cart", openScreen: "Open the screen",
    calls: "For who builds on it",
    reference: "Every call, to try out", openapi: "The calls, for programs (OpenAPI)",
    asyncapi: "What carts, screens and phones are sent, for programs (AsyncAPI)",
    readyz: "The state, for programs",
    running: "For who runs it", runningMore: "In a shell on the server:",
    addCart: "a cart, and its key", addProducts: "what the shop sells", claimCode: "a code that gives a cart its key",
    screenKey: "the address that opens a cart's screen", rest: "all the rest",
  },
  ar: {
    title: "DuckyCart",
    what: "هذا خادم عربات التسوق الذكية",
    ready: "الخادم جاهز. العربات المتصلة: {0}.", unready: "الخادم غير جاهز: {0}",
    shopping: "للتسوق", shoppingMore: "امسح رمز QR الذي تعرضه العربة بكاميرا أي هاتف.",
    screen: "شاشة العربة", screenMore: "صفحة للجهاز اللوحي المثبت على العربة. تحتاج إلى المفتاح الذي أنشأه المتجر لها.",
    cartNumber: "رقم العربة", openScreen: "افتح الشاشة",
    calls: "لمن يبني عليه",
    reference: "كل الطلبات، للتجربة", openapi: "الطلبات، للبرامج (OpenAPI)",
    asyncapi: "ما يُرسل إلى العربات والشاشات والهواتف، للبرامج (AsyncAPI)",
    readyz: "الحالة، للبرامج",
    running: "لمن يشغّله", runningMore: "في سطر الأوامر على الخادم:",
    addCart: "عربة ومفتاحها", addProducts: "ما يبيعه المتجر", claimCode: "رمز تحصل به العربة على مفتاحها",
    screenKey: "العنوان الذي يفتح شاشة العربة", rest: "كل ما عدا ذلك",
  },
};
learn(TEXTS, {});

const AGAIN = 5000;
let said = () => "";

const draw = () => { $("state").textContent = said(); };

async function look() {
  try {
    const { carts_connected: carts } = await ask("GET", "/readyz");
    said = () => t("ready", number(carts));
  } catch (error) {
    const { detail } = problem(error)?.body ?? {};
    said = () => t("unready", detail ?? t("failed"));
  }
  draw();
  setTimeout(look, AGAIN);
}

startSpeaking(draw);
onTap("open", async ({ cart }) => location.assign(`${root}/screen/${cart}`), showError, "submit");
look();
