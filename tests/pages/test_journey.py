"""From the camera to the receipt, in a real browser against the real server."""

import pytest
from playwright.async_api import expect
from sqlalchemy import update

from duckycart.store.tables import products
from duckycart.testing.furnish import BREAD, MILK, TEA
from tests.pages.phone import Phone, Phones
from tests.world import Shop

THIRTY = "\u0663\u0660\u066b\u0660\u0660"  # 30.00 in Arabic digits


async def give_arabic_names(shop: Shop) -> None:
    await shop.inside.store.write(
        lambda tx: tx.connection.execute(
            update(products).where(products.c.barcode == str(MILK)).values(description_ar="حليب", product_size="1 l")
        )
    )


async def test_a_guest_joins_shops_pays_and_gets_a_receipt(shop: Shop, phones: Phones) -> None:
    phone = await phones.open()
    await phone.open_qr()
    await phone.sees("#join h1", "Shop with this cart")
    await phone.picture("en-join")
    await phone.tap("guest")
    await phone.sees("#empty", "Nothing here yet")
    await phone.sees("#cart", "Cart 1")
    await phone.picture("en-empty")
    session_id = await phone.session()
    assert (await shop.session_row(session_id)).is_active

    assert (await shop.add(session_id, MILK)).status_code == 200
    await phone.sees("#total", "EGP\u00a012.50")
    await phone.sees("#count", "1 item")
    await shop.add(session_id, MILK)
    await shop.add(session_id, BREAD)
    await phone.sees("#total", "EGP\u00a030.00")
    await phone.sees("#count", "3 items")
    await expect(phone.page.locator("#lines li")).to_have_count(2)
    await phone.misses("#leave")
    await phone.picture("en-basket")
    await shop.remove(session_id, BREAD)
    await phone.sees("#total", "EGP\u00a025.00")

    await phone.pay()
    await phone.sees("h1", "Paid")
    await phone.picture("en-paid")
    await phone.go_back()
    await phone.sees("#outcome", "Thank you!")
    await phone.sees("#sum", "EGP\u00a025.00")
    await phone.sees("#bought li", "Milk")
    await phone.picture("en-receipt")
    (payment,) = await shop.payment_rows(session_id)
    assert payment.state == "paid"
    assert [kind for _, kind, *_ in await shop.commands()][-1] == "end_session"


async def test_the_same_in_arabic_runs_from_right_to_left(shop: Shop, phones: Phones) -> None:
    await give_arabic_names(shop)
    phone = await phones.open("ar-EG")
    await phone.open_qr()
    page = phone.page
    await expect(page.locator("html")).to_have_attribute("dir", "rtl")
    await expect(page.locator("html")).to_have_attribute("lang", "ar")
    assert await page.evaluate("getComputedStyle(document.querySelector('#join')).direction") == "rtl"
    await phone.picture("ar-join")
    await phone.tap("guest")
    await phone.sees("#shop h1", "سلتك")
    session_id = await phone.session()
    await shop.add(session_id, MILK)
    await shop.add(session_id, MILK)
    await shop.add(session_id, BREAD)
    await phone.sees("#lines li:first-child", "حليب")
    await phone.sees("#lines li:last-child", "Bread")  # it has no Arabic name
    await phone.sees("#total", THIRTY)
    await phone.picture("ar-basket")
    await phone.pay()
    await phone.go_back()
    await phone.sees("#outcome", "شكرًا لك!")
    await phone.sees("#sum", THIRTY)
    await phone.picture("ar-receipt")


async def test_the_switch_changes_the_language_at_once_and_for_the_next_time(shop: Shop, phones: Phones) -> None:
    phone = await phones.open("en-GB")
    session_id = await phone.join()
    await shop.add(session_id)
    await phone.sees("#lines", "Milk")
    await phone.tap("language")
    await phone.sees("#pay", "ادفع")
    await expect(phone.page.locator("html")).to_have_attribute("dir", "rtl")
    await phone.page.reload()
    await phone.sees("#pay", "ادفع")


async def test_an_account_is_made_and_joins_in_one_go(shop: Shop, phones: Phones) -> None:
    phone = await phones.open()
    await phone.open_qr()
    await phone.page.get_by_text("Create an account").first.click()
    form = phone.page.locator("#signup")
    await form.get_by_label("Your name").fill("Mona")
    await form.get_by_label("E-mail").fill("mona@example.com")
    await form.get_by_label("Password").fill("correct horse battery")
    await phone.picture("en-signup")
    await form.get_by_role("button").click()
    await phone.sees("#empty")
    await phone.tap("leave")
    await phone.sees("#outcome", "ended")
    await phone.picture("en-ended")

    await phone.open_qr()  # the next cart, in the same tab: she is known
    await phone.sees("#again", "Continue as Mona")
    await phone.tap("again")
    await phone.sees("#empty")

    other = await phones.open()  # on another phone she signs in; a wrong password first
    await other.open_qr(await shop.qr(2))
    await other.page.get_by_text("Sign in").first.click()
    form = other.page.locator("#login")
    await form.get_by_label("E-mail or user name").fill("mona@example.com")
    await form.get_by_label("Password").fill("wrong")
    await form.get_by_role("button").click()
    await other.sees("#error", "Wrong e-mail")
    await form.get_by_label("Password").fill("correct horse battery")
    await form.get_by_role("button").click()
    await other.sees("#error", "You already have a session with cart 1.")
    await other.picture("en-has-session")
    await other.tap("resume")
    await other.sees("#cart", "Cart 1")
    assert await other.session() == await phone.session()


async def test_an_empty_basket_can_be_left(shop: Shop, phones: Phones) -> None:
    phone = await phones.open()
    session_id = await phone.join()
    await phone.misses("#pay")
    await phone.tap("leave")
    await phone.sees("#outcome", "This shopping has ended")
    assert (await shop.session_row(session_id)).end_reason == "ended"
    await phone.misses("#sum")


async def test_a_declined_payment_leads_back_and_can_be_tried_again(shop: Shop, phones: Phones) -> None:
    phone = await phones.open()
    session_id = await phone.join()
    await shop.add(session_id)
    await phone.pay("decline")
    await phone.sees("[role=alert]:not([id])", "declined")
    await phone.go_back()
    await phone.sees("#total", "12.50")
    await phone.pay()
    await phone.go_back()
    await phone.sees("#outcome", "Thank you!")
    assert [payment.state for payment in await shop.payment_rows(session_id)] == ["paid"]


async def test_a_reload_in_the_middle_goes_on(shop: Shop, phones: Phones) -> None:
    phone = await phones.open()
    session_id = await phone.join()
    await shop.add(session_id, TEA)
    await phone.sees("#lines", "Tea")
    await phone.page.reload()
    await phone.sees("#lines", "Tea")
    assert await phone.session() == session_id
    await phone.tap("pay")
    await phone.sees(".amount")
    await phone.page.go_back()  # the browser's own way back, unpaid
    await phone.sees("#pay", "Pay")
    await phone.pay()
    await phone.go_back()
    await phone.sees("#outcome", "Thank you!")
    await phone.page.reload()
    await phone.sees("#outcome", "Thank you!")


async def test_a_payment_elsewhere_shows_the_receipt_by_itself(shop: Shop, phones: Phones) -> None:
    phone = await phones.open()
    session_id = await phone.join()
    await shop.add(session_id)
    await phone.sees("#pay")
    payment = await shop.create_payment(session_id, shop.cart_headers())
    await shop.press(payment.json()["payment_url"])
    await phone.sees("#outcome", "Thank you!")


async def test_a_whole_journey_with_the_keyboard_alone(shop: Shop, phones: Phones) -> None:
    phone = await phones.open()
    await phone.open_qr()
    await press_on(phone, "guest")
    await phone.sees("#empty")
    focused = await phone.page.evaluate("document.activeElement.tagName")
    assert focused == "H1"  # a screen reader hears where it is
    await shop.add(await phone.session())
    await phone.sees("#pay")
    await press_on(phone, "pay")
    await phone.sees(".amount")
    await phone.page.keyboard.press("Tab")
    await phone.page.keyboard.press("Enter")
    await phone.sees("h1", "Paid")
    await phone.page.keyboard.press("Tab")
    await phone.page.keyboard.press("Enter")
    await phone.sees("#outcome", "Thank you!")


async def press_on(phone: Phone, element: str) -> None:
    """Tab until the element has the focus, visibly, then Enter."""
    for _ in range(12):
        await phone.page.keyboard.press("Tab")
        if await phone.page.evaluate("document.activeElement.id") == element:
            outline = "getComputedStyle(document.activeElement).outlineStyle"
            assert await phone.page.evaluate(outline) == "solid"
            return await phone.page.keyboard.press("Enter")
    pytest.fail(f"the keyboard does not reach {element}")


@pytest.mark.parametrize("locale", ["ar-EG", pytest.param("en-GB", marks=pytest.mark.proof)])
async def test_nothing_scrolls_sideways_on_a_narrow_phone(shop: Shop, phones: Phones, locale: str) -> None:
    await shop.add_product(77, "Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichen" * 2, 99_999_999)
    phone = await phones.open(locale, width=320)
    await phone.open_qr()
    for summary in await phone.page.locator("summary").all():
        await summary.click()
    await phone.fits()
    await phone.tap("guest")
    await phone.sees("#empty")
    await phone.fits()
    session_id = await phone.session()
    await shop.add(session_id, 77)
    await shop.add(session_id, 77)
    await phone.sees("#lines li")
    await phone.fits()
    await phone.picture(f"narrow-{locale}")
    await phone.pay()
    await phone.fits()
    await phone.go_back()
    await phone.sees("#outcome")
    await phone.fits()
