"""What goes wrong is said in a sentence, in the shopper's language, and what is shown is only text."""

import re
from typing import Any

import pytest
from playwright.async_api import Page, expect

from duckycart.testing.furnish import BREAD
from duckycart.tokens import QrToken
from tests.api.doors import contents
from tests.pages.phone import Phones
from tests.world import Shop

EVIL = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


async def test_opening_the_page_joins_nothing(shop: Shop, phones: Phones) -> None:
    token = await shop.qr()
    before = await contents(shop)
    assert (await shop.http.get(f"/s/{token}")).status_code == 200
    assert (await shop.http.head(f"/s/{token}")).status_code == 200
    phone = await phones.open()
    await phone.open_qr(token)
    await phone.sees("#guest")
    await phone.page.reload()
    await phone.sees("#guest")
    assert await contents(shop) == before


@pytest.mark.parametrize(
    ("locale", "sentence"),
    [("en-GB", "already used; please scan the one on the cart now"), ("ar-EG", "استُخدم هذا الرمز")],
)
async def test_a_qr_that_somebody_else_used_says_to_scan_again(
    shop: Shop, phones: Phones, locale: str, sentence: str
) -> None:
    token = await shop.qr()
    assert (await shop.scan(token, await shop.shopper())).status_code == 200
    phone = await phones.open(locale)
    await phone.open_qr(token)
    await phone.misses("#error")
    await phone.tap("guest")
    await phone.sees("#error", sentence)
    await phone.picture(f"error-{locale}")
    await phone.sees("#guest")


async def test_a_cart_in_use_is_refused_to_an_account_too(shop: Shop, phones: Phones) -> None:
    await shop.http.post(
        "/auth/signup", json={"email": "ali@example.com", "password": "correct horse battery", "full_name": "Ali"}
    )
    token = await shop.qr()
    await shop.scan(token, await shop.shopper())
    phone = await phones.open()
    await phone.open_qr(token)
    await phone.page.locator("summary").first.click()
    await phone.page.get_by_label("E-mail or user name").fill("ali@example.com")
    await phone.page.locator("#login").get_by_label("Password").fill("correct horse battery")
    await phone.page.keyboard.press("Enter")
    await phone.sees("#error", "in use by somebody else")
    await phone.sees("#again", "Continue as Ali")
    await phone.tap("other")
    await phone.sees("#guest")


async def test_an_expired_or_foreign_qr_says_what_to_do(shop: Shop, phones: Phones) -> None:
    token = await shop.qr()
    shop.clock.move(301)
    phone = await phones.open()
    for wrong, sentence in ((token, "has expired; please scan"), ("eyJ.foreign.qr", "scan the QR on a cart again")):
        await phone.open_qr(wrong)
        await phone.tap("guest")
        await phone.sees("#error", sentence)


async def test_another_qr_in_the_same_tab_does_not_lose_the_shopping(shop: Shop, phones: Phones) -> None:
    phone = await phones.open()
    session_id = await phone.join()
    await phone.open_qr(await shop.qr(2))
    await phone.sees("#resume", "Back to your shopping (Cart 1)")
    await phone.tap("resume")
    await phone.sees("#empty")
    assert await phone.session() == session_id


async def test_an_answer_that_is_lost_while_joining_costs_nothing(shop: Shop, phones: Phones) -> None:
    phone = await phones.open()

    async def lose(route: Any) -> None:
        await route.fetch()  # the server did it
        await route.abort()

    await phone.page.route("**/customer-session/scan-qr", lose, times=1)
    await phone.open_qr()
    await phone.tap("guest")
    await phone.sees("#error", "no connection")
    await phone.page.reload()
    await phone.tap("guest")
    await phone.sees("#empty")
    assert await phone.session() == 1


async def test_an_answer_that_is_lost_while_paying_is_asked_for_again_with_its_key(shop: Shop, phones: Phones) -> None:
    phone = await phones.open()
    session_id = await phone.join()
    await shop.add(session_id)
    keys: list[str] = []

    async def lose(route: Any) -> None:
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) == 1:
            await route.fetch()
            await route.abort()
        else:
            await route.continue_()

    await phone.page.route("**/payment/create-payment/*", lose)
    await phone.tap("pay")
    await phone.sees("#error", "no connection")
    await phone.pay()
    assert keys[0] == keys[1]
    assert len(await shop.payment_rows(session_id)) == 1


async def test_without_a_connection_it_says_so_and_comes_back(shop: Shop, phones: Phones) -> None:
    phone = await phones.open()
    session_id = await phone.join()
    await phone.page.context.set_offline(True)
    await phone.sees("#status", "No connection")
    await shop.add(session_id, BREAD)
    await phone.page.context.set_offline(False)
    await phone.sees("#lines", "Bread")
    await expect(phone.page.locator("#status")).to_be_empty()


async def test_where_no_stream_opens_the_basket_is_asked_for(shop: Shop, phones: Phones) -> None:
    phone = await phones.open()
    await phone.page.clock.install()
    await phone.page.route("**/customer-session/*/events", lambda route: route.abort())
    session_id = await phone.join()
    await shop.add(session_id, BREAD)
    await phone.hurry(4)
    await phone.sees("#lines", "Bread")


async def test_a_warning_of_the_cart_is_shown_until_the_basket_changes(shop: Shop, phones: Phones) -> None:
    phone = await phones.open()
    session_id = await phone.join()
    warning = {"session_id": session_id, "type_of_warning": "weight increased"}
    await phone.listens()
    assert (await shop.http.post("/fraud-warnings/", json=warning, headers=shop.cart_headers())).status_code == 200
    await phone.sees("#warning", "not scanned")
    await phone.picture("en-warning")
    await shop.add(session_id)
    await phone.misses("#warning")


async def test_a_credential_that_is_over_leads_back_to_joining(shop: Shop, phones: Phones) -> None:
    """An account's: one can sign in again. A guest's is good as long as its session (F51)."""
    guest = await phones.open()
    await guest.join()
    account = await phones.open()
    await shop.http.post(
        "/auth/signup", json={"email": "ali@example.com", "password": "correct horse battery", "full_name": "Ali"}
    )
    await account.open_qr(await shop.qr(2))
    await account.page.locator("summary").first.click()
    await account.page.get_by_label("E-mail or user name").fill("ali@example.com")
    await account.page.locator("#login").get_by_label("Password").fill("correct horse battery")
    await account.page.keyboard.press("Enter")
    await account.sees("#shop h1")
    url = account.page.url
    await account.page.goto("about:blank")  # a page that is open may ask, and hear it, before it is opened again
    shop.clock.move(13 * 3600)
    await account.page.goto(url)
    await account.sees("#error", "sign in again")
    await account.sees("#guest")
    await guest.page.reload()
    await guest.sees("#shop h1")


async def test_an_operator_who_ends_the_session_shows_on_the_phone(shop: Shop, phones: Phones) -> None:
    phone = await phones.open()
    session_id = await phone.join()
    shop.clock.move(901)
    await shop.housekeeping()
    await phone.sees("#outcome", "This shopping has ended")
    assert (await shop.session_row(session_id)).end_reason == "idle"


async def test_names_with_markup_are_shown_as_they_are_written(shop: Shop, phones: Phones) -> None:
    await shop.add_product(99, EVIL, 100)
    phone = await phones.open()
    session_id = await phone.join()
    await shop.add(session_id, 99)
    await phone.sees("#lines", EVIL)
    assert await injected(phone.page) == 0
    await phone.pay()
    await phone.go_back()
    await phone.sees("#bought", EVIL)
    assert await injected(phone.page) == 0

    await shop.http.post(
        "/auth/signup", json={"email": "eve@example.com", "password": "correct horse battery", "full_name": EVIL}
    )
    other = await phones.open()
    await other.open_qr(shop.inside.tokens.qr(QrToken(1, 1, 0)))
    await other.page.locator("summary").first.click()
    await other.page.get_by_label("E-mail or user name").fill("eve@example.com")
    await other.page.locator("#login").get_by_label("Password").fill("correct horse battery")
    await other.page.keyboard.press("Enter")
    await other.sees("#again", EVIL)
    assert await injected(other.page) == 0


async def injected(page: Page) -> int:
    assert await page.title() == "Shopping cart"
    return await page.locator("main img, main script").count()


async def test_the_address_leads_to_no_shopping_without_one(shop: Shop, phones: Phones) -> None:
    phone = await phones.open()
    await phone.open_qr("receipt")
    await phone.sees("#nothing", "Scan the QR on a cart")


async def test_dark_is_dark(shop: Shop, phones: Phones) -> None:
    phone = await phones.open(color_scheme="dark")
    await phone.join()
    await shop.add(await phone.session())
    await phone.sees("#pay")
    await phone.picture("en-dark")
    colour = await phone.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(int(part) for part in re.findall(r"\d+", colour)) < 64
