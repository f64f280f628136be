"""The bare address has a page for people, and so has what is not there; programs get what they always got."""

import re

import pytest
from playwright.async_api import expect

from tests.api.doors import refused
from tests.pages.phone import Phones
from tests.world import Shop

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
NOWHERE = ["/nothing", "/docs/nothing", "/s/assets/nothing", "/customer-session/1/nothing", "/pay/" + "0" * 32]


@pytest.mark.parametrize(
    ("locale", "words"),
    [
        ("en-GB", "It is ready. Carts connected: 1."),
        ("ar-EG", "الخادم جاهز. العربات المتصلة: \u0661."),
    ],
)
async def test_it_says_what_this_is_and_how_it_is(shop: Shop, phones: Phones, locale: str, words: str) -> None:
    async with shop.cart():
        await shop.online()
        page = (await phones.open(locale)).page
        await page.goto(f"{shop.url}/")
        await expect(page.locator("#state")).to_have_text(words)
        await expect(page.locator("html")).to_have_attribute("dir", "rtl" if locale == "ar-EG" else "ltr")
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_it_says_why_the_server_is_not_ready(shop: Shop, phones: Phones) -> None:
    page = (await phones.open()).page
    shop.inside.connector.draining = True
    await page.goto(f"{shop.url}/")
    await expect(page.locator("#state")).to_contain_text("It is not ready: The server")
    shop.inside.connector.draining = False
    phones.complaints.clear()  # the browser's own, of a status that is not 200


async def test_it_leads_to_a_carts_screen_and_to_the_documents(shop: Shop, phones: Phones) -> None:
    page = (await phones.open()).page
    await page.goto(f"{shop.url}/")
    await page.get_by_label("Number of the cart").fill("2")
    await page.get_by_role("button", name="Open the screen").click()
    await page.wait_for_url(f"{shop.url}/screen/2")
    for href in re.findall('href="([^"]+)"', (await shop.http.get("/")).text):
        assert (await shop.http.get(f"/{href}")).status_code == 200, href


async def test_people_get_a_page_for_what_is_not_there(shop: Shop) -> None:
    for path in NOWHERE:
        answer = await shop.http.get(path, headers=BROWSER)
        assert answer.status_code == 404, path
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.headers["cache-control"] == "no-store"
        assert "There is nothing here" in answer.text
        assert "لا يوجد شيء هنا" in answer.text


@pytest.mark.parametrize("accept", ["*/*", "application/json", ""])
async def test_programs_get_a_problem_for_what_is_not_there(shop: Shop, accept: str) -> None:
    for path in NOWHERE:
        refused(await shop.http.get(path, headers={"Accept": accept}), 404)
        refused(
            await shop.http.post(path, headers=BROWSER), 405 if path.startswith("/s/assets") or "/pay/" in path else 404
        )
