"""`/docs` works without internet: all that it needs comes from the server, and no policy is broken."""

from playwright.async_api import Page, expect

from tests.pages.phone import Phones
from tests.pages.vendor import NAMES, pinned, sums
from tests.world import Shop


def test_swagger_ui_is_as_its_package_has_it() -> None:
    assert sums() == pinned()
    assert set(pinned()) == set(NAMES)


async def test_the_page_loads_nothing_from_elsewhere_and_is_framed_by_nobody(shop: Shop) -> None:
    answer = await shop.http.get("/docs")
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert "http" not in answer.text.replace("https://", "http://").partition("<noscript>")[0]


async def test_a_call_can_be_looked_up_and_tried_out(shop: Shop, phones: Phones) -> None:
    window = await phones.open(width=1280)
    page: Page = window.page
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await page.goto(f"{shop.url}/docs")
    await expect(page.get_by_role("heading", name="DuckyCart")).to_be_visible()
    await page.get_by_text("/cart-items/add").click()
    await expect(page.get_by_text("409 once a payment exists").first).to_be_visible()
    await page.goto(f"{shop.url}/docs#/status/health_healthz")
    health = page.locator(".opblock", has_text="/healthz")
    if await health.get_by_role("button", name="Try it out").count() == 0:
        await health.locator(".opblock-summary-control").click()
    await health.get_by_role("button", name="Try it out").click()
    await health.get_by_role("button", name="Execute").click()
    await expect(health.locator(".live-responses-table .response-col_status").last).to_contain_text("200")
    outside = [url for url in asked if not url.startswith((f"{shop.url}/", "data:", "blob:"))]
    assert outside == []
