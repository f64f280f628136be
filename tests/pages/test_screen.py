"""The screen of a cart, in a real browser against the real server: nobody attends it, so it must always find back."""

import re
from typing import Any

import pytest
from playwright.async_api import Browser, expect
from sqlalchemy import update

from duckycart.admin.fleet import set_screen_key
from duckycart.keys import hash_of
from duckycart.lifecycle.access import ByOperator
from duckycart.lifecycle.sessions import force_end
from duckycart.store.tables import carts, products
from duckycart.testing.furnish import BREAD, MILK, TEA, screen_key_of
from duckycart.testing.waiting import until
from tests.channels.world import end, warn
from tests.conftest import OpenShop
from tests.pages.phone import CartScreen, Phones
from tests.world import Shop

KINDS = [
    ("en-GB", 1024, 600),
    ("ar-EG", 800, 1280),
    *(
        pytest.param(*form, marks=pytest.mark.proof)
        for form in (("ar-EG", 1024, 600), ("en-GB", 1280, 800), ("en-GB", 600, 1024))
    ),
]

THIRTY = "\u0663\u0660\u066b\u0660\u0660"  # in Arabic digits
TWENTY_FIVE = "\u0662\u0665\u066b\u0660\u0660"


async def heard(shop: Shop, session_id: int) -> None:
    """Until the screen listens to the session."""
    await until(lambda: ("session", session_id) in shop.inside.channels._topics)


async def set_cart(shop: Shop, **values: Any) -> None:
    await shop.inside.store.write(
        lambda tx: tx.connection.execute(update(carts).where(carts.c.id == 1).values(**values))
    )


@pytest.mark.parametrize(("locale", "width", "height"), KINDS)
async def test_a_whole_session_in_every_form(shop: Shop, phones: Phones, locale: str, width: int, height: int) -> None:
    english = locale.startswith("en")
    name = f"screen-{locale[:2]}-{width}x{height}"
    await shop.inside.store.write(
        lambda tx: tx.connection.execute(
            update(products).where(products.c.barcode == str(MILK)).values(description_ar="حليب", product_size="1 l")
        )
    )
    screen = await phones.screen(locale, width, height)
    await screen.idle()
    await expect(screen.page.locator("html")).to_have_attribute("dir", "ltr" if english else "rtl")
    await screen.sees("#idle h1", "Scan with your phone" if english else "امسح الرمز")
    await screen.fits_wholly()
    box = await screen.page.locator("#qr").bounding_box()
    assert box is not None
    assert min(box["width"], box["height"]) > min(width, height) / 2
    await screen.picture(f"{name}-1-qr")

    session_id, _ = await screen.scanned()
    await screen.sees("#empty")
    await screen.misses("#pay")
    for barcode in (MILK, MILK, BREAD):
        await shop.add(session_id, barcode)
    await screen.sees("#total", "30.00" if english else THIRTY)
    await expect(screen.page.locator("#lines li")).to_have_count(2)
    await screen.sees("#lines", "Milk" if english else "حليب")
    await screen.fits_wholly()
    await screen.picture(f"{name}-2-basket")

    await warn(shop, session_id, "weight increased")
    await screen.sees("#warning", "not scanned" if english else "لم يُمسح")
    await screen.fits_wholly()
    await screen.picture(f"{name}-3-warning")
    await shop.remove(session_id, BREAD)
    await screen.misses("#warning")

    await screen.tap("pay")
    await screen.sees("#bill")
    await screen.misses("#pay")
    await screen.sees("#state", "closed until" if english else "مغلقة")
    await screen.fits_wholly()
    await screen.picture(f"{name}-4-pay")
    assert [kind for _, kind, *_ in await shop.commands()][-1] == "payment_created"

    await screen.tap("payHere")
    till = screen.page.frame_locator("iframe")
    await expect(till.locator(".amount")).to_contain_text("25.00")
    await screen.picture(f"{name}-5-till")
    await till.locator("form[action$='/decline'] button").click()
    await expect(till.locator("[role=alert]")).to_contain_text("declined")
    await screen.tap("back")
    await screen.sees("#warning", "declined" if english else "رُفض")
    await screen.fits_wholly()
    await screen.picture(f"{name}-6-declined")
    await screen.tap("payHere")
    await till.locator("form[action$='/pay'] button").click()

    await screen.sees("#outcome", "Thank you" if english else "شكرًا لك")
    await screen.misses("#till")
    await screen.sees("#sum", "25.00" if english else TWENTY_FIVE)
    await screen.fits_wholly()
    await screen.picture(f"{name}-7-bye")
    await screen.tap("next")
    await screen.sees("#qr")
    second, _ = await screen.scanned("omar@example.com")
    assert second != session_id


SIZES = [(480, 800), (800, 480), (600, 1024), (1024, 600), (1280, 720), (1280, 800), (1366, 768), (1920, 1080)]
FORMS = [("ar-EG", 800, 480), ("en-GB", 1280, 800)]
MORE_FORMS = [(locale, *size) for locale in ("en-GB", "ar-EG") for size in SIZES if (locale, *size) not in FORMS]
LONG = "Extra virgin olive oil of the first cold pressing, from Siwa"
LONG_AR = "زيت زيتون بكر ممتاز من العصرة الأولى على البارد من واحة سيوة"
# Where a text stands in several boxes it was broken; where it is wider than what it stands in it was cut.
BROKEN = """() => [...document.querySelectorAll("#lines b, #total, #sum")].filter((each) => {
  if (!each.checkVisibility() || !each.textContent) return false;
  const text = document.createRange();
  text.selectNodeContents(each);
  const box = text.getBoundingClientRect(), line = parseFloat(getComputedStyle(each).fontSize) * 2;
  const around = each.closest("aside, .basket, section").getBoundingClientRect();
  return box.height > line || box.left < around.left - 1 || box.right > around.right + 1;
}).map((each) => each.textContent)"""
NARROW = """() => [...document.querySelectorAll("#lines span")]
  .filter((each) => each.checkVisibility() && each.clientWidth < 8 * parseFloat(getComputedStyle(each).fontSize) - 1)
  .map((each) => each.textContent)"""


@pytest.mark.parametrize(
    ("locale", "width", "height"), [*FORMS, *(pytest.param(*form, marks=pytest.mark.proof) for form in MORE_FORMS)]
)
async def test_no_number_breaks_and_no_name_is_squeezed(
    shop: Shop, phones: Phones, locale: str, width: int, height: int
) -> None:
    dear = {"unit_price": 12345600, "description": LONG, "description_ar": LONG_AR, "product_size": "750 ml"}
    await shop.inside.store.write(lambda tx: tx.connection.execute(update(products).values(**dear)))
    screen, session_id, _ = await shopping(phones, locale=locale, width=width, height=height)
    name = f"long-{locale[:2]}-{width}x{height}"

    async def is_whole(state: str) -> None:
        await screen.picture(f"{name}-{state}")
        await screen.fits_wholly()
        assert await screen.page.evaluate(BROKEN) == []
        assert await screen.page.evaluate(NARROW) == []

    for barcode in (MILK, BREAD, TEA, TEA):
        await shop.add(session_id, barcode)
    await expect(screen.page.locator("#lines li")).to_have_count(3)
    await screen.sees("#total", "493,824.00" if locale == "en-GB" else "\u0664\u0669\u0663")
    await is_whole("basket")
    await screen.tap("pay")
    await screen.sees("#bill")
    await is_whole("pay")
    await screen.tap("payHere")
    await screen.page.frame_locator("iframe").locator("form[action$='/pay'] button").click()
    await screen.sees("#sum")
    await is_whole("bye")


async def shopping(phones: Phones, **options: Any) -> tuple[CartScreen, int, dict[str, str]]:
    """A screen whose cart somebody shops with: (screen, session, shopper's headers)."""
    screen = await phones.screen(**options)
    await screen.idle()
    return screen, *await screen.scanned()


async def test_a_phone_that_pays_the_picture_ends_it_for_the_screen(shop: Shop, phones: Phones) -> None:
    screen, session_id, shopper = await shopping(phones)
    await shop.add(session_id)
    await screen.sees("#pay")
    await heard(shop, session_id)
    payment = await shop.create_payment(session_id, shopper)
    await screen.sees("#bill")
    await screen.tap("payHere")
    await screen.sees("iframe")
    await shop.press(payment.json()["payment_url"])
    await screen.sees("#outcome", "Thank you!")
    await screen.misses("#till")


async def test_the_pay_pages_own_way_back_leads_to_the_basket(shop: Shop, phones: Phones) -> None:
    screen, session_id, _ = await shopping(phones)
    await shop.add(session_id)
    await screen.tap("pay")
    await screen.tap("payHere")
    await screen.page.frame_locator("iframe").get_by_role("link").click()
    await screen.misses("#till")
    await screen.sees("#bill")
    phones.complaints[:] = [said for said in phones.complaints if "frame" not in said.lower()]


async def test_a_payment_that_was_cancelled_can_be_made_again(shop: Shop, phones: Phones) -> None:
    screen, session_id, _ = await shopping(phones)
    await shop.add(session_id)
    await screen.tap("pay")
    await screen.sees("#bill")
    shop.clock.move(shop.inside.rules.payment_seconds + 1)
    await shop.inside.checkout.reconcile()
    await screen.misses("#bill")
    await screen.sees("#state", "Not paid yet")
    await screen.tap("pay")
    await screen.sees("#bill")
    assert [payment.state for payment in await shop.payment_rows(session_id)] == ["cancelled", "open"]


async def test_after_a_while_there_is_a_new_qr_by_itself(shop: Shop, phones: Phones) -> None:
    screen = await phones.screen()
    await screen.page.clock.install()
    await screen.idle()
    session_id, shopper = await screen.scanned()
    await heard(shop, session_id)
    await end(shop, session_id, shopper)
    await screen.sees("#outcome", "This shopping has ended")
    await screen.sees("#thanks", "Nothing was paid")
    await screen.hurry(21)
    await screen.sees("#qr")


async def test_f50_f51_a_clock_that_is_set_takes_no_thank_you_away(shop: Shop, phones: Phones) -> None:
    screen = await phones.screen()
    await screen.page.clock.install()
    await screen.idle()
    session_id, shopper = await screen.scanned()
    await heard(shop, session_id)
    await end(shop, session_id, shopper)
    await screen.sees("#outcome", "This shopping has ended")
    await screen.page.clock.set_system_time("2036-01-01")
    for _ in range(4):  # a tick in each
        await screen.hurry(4)
    await screen.sees("#outcome", "This shopping has ended")
    await screen.hurry(3)
    await screen.sees("#qr")


async def test_the_qr_is_renewed_before_it_expires_and_never_in_a_session(opening: OpenShop, browser: Browser) -> None:
    async with opening(offline_carts="accept", qr_seconds=30) as shop:
        await shop.furnish()
        phones = Phones(shop, browser)
        await renewed(shop, await phones.screen())
        await phones.close()


async def renewed(shop: Shop, screen: CartScreen) -> None:
    await screen.page.clock.install()
    await screen.idle()
    assert len(await shop.commands()) == 1
    first = await screen.page.locator("#qr").get_attribute("src")
    shop.clock.move(28)
    await screen.hurry(28)
    await expect(screen.page.locator("#qr")).not_to_have_attribute("src", str(first))
    kinds = [kind for _, kind, *_ in await shop.commands()]
    assert kinds == ["generate_qr", "generate_qr"]
    session_id, _ = await screen.scanned()
    await heard(shop, session_id)
    await screen.hurry(35)
    await shop.add(session_id, TEA)
    await screen.sees("#lines", "Tea")
    assert [kind for _, kind, *_ in await shop.commands()] == [*kinds, "session_started"]


async def test_a_server_that_stops_is_waited_for_in_a_session(shop: Shop, phones: Phones) -> None:
    screen, session_id, _ = await shopping(phones)
    await heard(shop, session_id)
    shop.inside.channels.stop()
    await screen.sees("#lost", "No connection")
    await screen.picture("screen-en-lost-in-session")
    await screen.sees("#shop")
    shop.inside.channels._stopping = False  # the next server
    await shop.add(session_id, BREAD)
    await screen.sees("#lines", "Bread")
    await screen.misses("#lost")


@pytest.mark.parametrize("locale", ["en-GB", "ar-EG"])
async def test_without_a_connection_no_qr_is_shown_and_it_comes_back(shop: Shop, phones: Phones, locale: str) -> None:
    screen = await phones.screen(locale)
    await screen.idle()
    await screen.page.context.set_offline(True)
    await screen.sees("#what", "No connection" if locale == "en-GB" else "لا يوجد اتصال")
    await screen.misses("#qr")
    await screen.fits_wholly()
    await screen.picture(f"screen-{locale[:2]}-offline")
    await screen.page.context.set_offline(False)
    await screen.sees("#qr")


@pytest.mark.parametrize("how", ["paid", "forced", "another since", "long ago"])
async def test_what_happened_while_it_was_away_is_read(shop: Shop, phones: Phones, how: str) -> None:
    screen, session_id, shopper = await shopping(phones)
    await shop.add(session_id)
    await screen.sees("#pay")
    await screen.page.context.set_offline(True)
    await screen.sees("#lost")
    if how in ("forced", "another since"):
        await shop.inside.store.write(lambda tx: force_end(tx, ByOperator(None), session_id, shop.inside.rules))
    else:
        await shop.press((await shop.create_payment(session_id, shopper)).json()["payment_url"])
    if how == "another since":
        second = await shop.start(await shop.shopper("omar@example.com"))
        await shop.add(second, TEA)
    if how == "long ago":
        shop.clock.move(16 * 60)
    await screen.page.context.set_offline(False)
    match how:
        case "paid":
            await screen.sees("#outcome", "Thank you!")
        case "forced":
            await screen.sees("#outcome", "This shopping has ended")
        case "another since":
            await screen.sees("#lines", "Tea")
        case "long ago":
            await screen.sees("#qr")


async def test_a_reload_in_a_session_goes_on_with_it(shop: Shop, phones: Phones) -> None:
    screen, session_id, _ = await shopping(phones)
    await shop.add(session_id)
    await screen.tap("pay")
    await screen.sees("#bill")
    await screen.page.reload()
    await screen.sees("#bill")
    await screen.sees("#lines", "Milk")


async def test_a_silent_connection_is_given_up(shop: Shop, phones: Phones) -> None:
    screen = await phones.screen()
    await screen.page.clock.install()
    await screen.idle()
    (listener,) = shop.inside.channels._topics["cart", 1].listeners
    await screen.hurry(60)  # the server's heartbeats rest in tests, as on a connection that nobody closed
    await until(lambda: listener.end is not None)
    await screen.hurry(60)
    topics = shop.inside.channels._topics
    await until(lambda: ("cart", 1) in topics and topics["cart", 1].listeners - {listener})
    await screen.sees("#qr")


async def test_a_cart_out_of_service_says_so_and_comes_back_by_itself(shop: Shop, phones: Phones) -> None:
    await set_cart(shop, out_of_service=True)
    screen = await phones.screen()
    await screen.page.clock.install()
    await screen.open(screen_key_of(1))
    await screen.sees("#what", "cannot be used now")
    await screen.picture("screen-en-out-of-service")
    await set_cart(shop, out_of_service=False)
    await screen.hurry(11)
    await screen.sees("#qr")


async def test_a_cart_that_is_not_connected_says_so(opening: OpenShop, browser: Browser) -> None:
    async with opening() as shop:
        await shop.furnish()
        phones = Phones(shop, browser)
        screen = await phones.screen("ar-EG")
        await screen.page.clock.install()
        await screen.open(screen_key_of(1))
        await screen.sees("#what", "لا يمكن استخدام")
        async with shop.cart():
            await shop.online()
            await screen.hurry(11)
            await screen.sees("#qr")
        await phones.close()


@pytest.mark.parametrize("locale", ["en-GB", "ar-EG"])
async def test_without_a_key_it_says_what_an_operator_must_do(shop: Shop, phones: Phones, locale: str) -> None:
    screen = await phones.screen(locale)
    await screen.open()
    await screen.sees("#what", "needs its key" if locale == "en-GB" else "تحتاج إلى مفتاحها")
    await screen.sees("#command", "duckycart carts screen-key 1")
    await screen.fits_wholly()
    await screen.picture(f"screen-{locale[:2]}-no-key")
    await screen.open("w" * 43)  # typed wrong: the address is the same but for its fragment
    await screen.sees("#what")
    await screen.open(screen_key_of(1))
    await screen.sees("#qr")


async def test_the_key_is_gone_from_the_address_and_no_script_can_read_the_cookie(shop: Shop, phones: Phones) -> None:
    screen = await phones.screen()
    await screen.idle()
    assert screen.page.url == f"{shop.url}/screen/1"
    assert await screen.page.evaluate("document.cookie") == ""
    cookies = await screen.page.context.cookies([f"{shop.url}{path}" for path in ("/sse/1", "/customer-session/qr/1")])
    assert {cookie.get("path") for cookie in cookies} == {"/sse/1", "/customer-session/qr/1"}
    await screen.page.reload()
    await screen.sees("#qr")


async def test_a_withdrawn_key_ends_at_the_next_sweep_and_a_new_one_begins(shop: Shop, phones: Phones) -> None:
    screen = await phones.screen()
    await screen.idle()
    await shop.inside.store.write(lambda tx: set_screen_key(tx, 1, hash_of("n" * 43)))
    await shop.inside.channels.sweep()
    await screen.sees("#what", "key is void")
    await screen.misses("#qr")
    await screen.picture("screen-en-void-key")
    await screen.open("n" * 43)
    await screen.sees("#qr")


async def test_a_withdrawn_key_does_not_take_the_session_from_its_shopper(shop: Shop, phones: Phones) -> None:
    screen, session_id, shopper = await shopping(phones)
    await heard(shop, session_id)
    await shop.inside.store.write(lambda tx: set_screen_key(tx, 1, None))
    await shop.inside.channels.sweep()
    await shop.add(session_id, BREAD)
    await screen.sees("#lines", "Bread")
    await shop.remove(session_id, BREAD)
    await end(shop, session_id, shopper)
    await screen.sees("#outcome")
    await screen.tap("next")
    await screen.sees("#what", "key is void")


async def test_a_refused_payment_is_said_and_can_be_tried_again(shop: Shop, phones: Phones) -> None:
    screen, session_id, _ = await shopping(phones)
    await shop.add(session_id)
    await screen.page.route("**/payment/create-payment/*", lambda route: route.abort(), times=1)
    await screen.tap("pay")
    await screen.sees("#error", "no connection")
    await screen.tap("pay")
    await screen.sees("#bill")
    await screen.misses("#error")


async def test_the_language_is_switched_at_once_and_remembered(shop: Shop, phones: Phones) -> None:
    screen, session_id, _ = await shopping(phones)
    await shop.add(session_id)
    await screen.sees("#pay", "Pay")
    await screen.tap("language")
    await screen.sees("#pay", "ادفع")
    await screen.page.reload()
    await screen.sees("#pay", "ادفع")


async def test_a_long_basket_scrolls_by_itself_and_the_newest_is_on_top(shop: Shop, phones: Phones) -> None:
    screen, session_id, _ = await shopping(phones, color_scheme="dark")
    for number in range(12):
        await shop.add_product(100 + number, f"Product {number} " + "with a rather long name " * 3, 99_999_999)
        shop.clock.move(1)
        await shop.add(session_id, 100 + number)
    await expect(screen.page.locator("#lines li")).to_have_count(12)
    await expect(screen.page.locator("#lines li").first).to_contain_text("Product 11")
    await screen.fits_wholly()
    await screen.picture("screen-en-dark-long")
    colour = await screen.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(int(part) for part in re.findall(r"\d+", colour)) < 64


async def test_the_keyboard_reaches_what_can_be_tapped_and_the_focus_is_seen(shop: Shop, phones: Phones) -> None:
    screen, session_id, _ = await shopping(phones, reduced_motion="reduce")
    await shop.add(session_id)
    await screen.sees("#pay")
    for _ in range(4):
        await screen.page.keyboard.press("Tab")
        if await screen.page.evaluate("document.activeElement.id") == "pay":
            break
    assert await screen.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    await screen.page.keyboard.press("Enter")
    await screen.sees("#bill")


async def test_the_address_of_no_cart_is_refused(shop: Shop) -> None:
    assert (await shop.http.get("/screen/x")).status_code == 422
    assert (await shop.http.head("/screen/1")).status_code == 200
