"""A shopper's phone and a cart's screen: browser windows, in which somebody taps what they see."""

import os
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, expect
from sqlalchemy import select

from duckycart.store.tables import carts
from duckycart.testing.furnish import screen_key_of
from duckycart.testing.waiting import PATIENCE, until
from duckycart.tokens import QrToken
from tests.world import Shop

expect.set_options(PATIENCE * 1000)
_PICTURES = os.environ.get("SCREENSHOTS")  # a folder, to look at what the tests see
_EXPECTED = "Failed to load resource", "WebSocket connection to"  # the browser's note of a refusal that a test wants


class Phones:
    def __init__(self, shop: Shop, browser: Browser) -> None:
        self._shop = shop
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self.complaints: list[str] = []  # errors and warnings of the pages, what their policy refused among them

    async def open(self, locale: str = "en-GB", width: int = 390, **options: Any) -> "Phone":
        return Phone(self._shop, await self._page(locale, width, 844, **options))

    async def screen(self, locale: str = "en-GB", width: int = 1024, height: int = 600, **options: Any) -> "CartScreen":
        """A tablet on cart 1, which nobody has opened the page on yet."""
        return CartScreen(self._shop, await self._page(locale, width, height, **options))

    async def _page(self, locale: str, width: int, height: int, **options: Any) -> Page:
        context = await self._browser.new_context(
            locale=locale, viewport={"width": width, "height": height}, has_touch=True, **options
        )
        context.set_default_timeout(PATIENCE * 1000)
        self._contexts.append(context)
        page = await context.new_page()
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        return page

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(_EXPECTED):
            self.complaints.append(message.text)

    async def close(self) -> None:
        for context in self._contexts:
            await context.close()


class Window:
    def __init__(self, shop: Shop, page: Page) -> None:
        self.shop = shop
        self.page = page

    async def tap(self, element: str) -> None:
        await self.page.locator(f"#{element}").click()

    async def sees(self, selector: str, text: str | None = None) -> None:
        found = self.page.locator(selector)
        await expect(found).to_be_visible()
        if text is not None:
            await expect(found).to_contain_text(text)

    async def misses(self, selector: str) -> None:
        await expect(self.page.locator(selector)).to_be_hidden()

    async def hurry(self, seconds: int) -> None:
        """Time passes in the browser; its clock was installed before the page was opened."""
        await self.page.clock.fast_forward(seconds * 1000)

    async def fits(self) -> None:
        """Nothing to scroll sideways."""
        too_wide = await self.page.evaluate("document.scrollingElement.scrollWidth - innerWidth")
        assert too_wide <= 0

    async def picture(self, name: str) -> None:
        if _PICTURES:
            await self.page.screenshot(path=Path(_PICTURES) / f"{name}.png")


class CartScreen(Window):
    async def open(self, key: str | None = None, cart_id: int = 1) -> None:
        """At the address that the operator was given; without a key, at the screen's own."""
        own = f"{self.shop.url}/screen/{cart_id}"
        await self.page.goto(own if key is None else f"{own}#{key}")
        if key is not None:  # a page that is there already loads itself anew; it is done when the key is gone
            await self.page.wait_for_url(own)

    async def idle(self) -> None:
        """On, with its key, until it shows a QR."""
        await self.open(screen_key_of(1))
        await self.sees("#qr")

    async def scanned(self, email: str = "mona@example.com") -> tuple[int, dict[str, str]]:
        """Somebody scans this QR: the session, and their headers."""
        (cart,) = await self.shop.rows(select(carts).where(carts.c.id == 1))
        shopper = await self.shop.shopper(email)
        token = self.shop.inside.tokens.qr(QrToken(1, cart.qr_round, cart.qr_expires_at))
        answer = await self.shop.scan(token, shopper)
        assert answer.status_code == 200, answer.text
        await self.sees("#shop")
        return int(answer.json()["session_id"]), shopper

    async def fits_wholly(self) -> None:
        """Nothing to scroll at all, and what is to be tapped is large."""
        await self.fits()
        assert await self.page.evaluate("document.scrollingElement.scrollHeight - innerHeight") <= 0
        for button in await self.page.locator("button:visible").all():
            box = await button.bounding_box()
            assert box is not None
            assert min(box["height"], box["width"]) >= 48
            assert box["y"] >= 0
            viewport = self.page.viewport_size
            assert viewport is not None
            assert box["y"] + box["height"] <= viewport["height"]


class Phone(Window):
    async def open_qr(self, token: str | None = None) -> None:
        """What the camera does."""
        token = token or await self.shop.qr()
        await self.page.goto(f"{self.shop.url}/s/{token}")

    async def join(self) -> int:
        """As a guest, on cart 1; returns the session."""
        await self.open_qr()
        await self.tap("guest")
        await self.sees("#shop h1")
        return await self.session()

    async def session(self) -> int:
        return int(await self.page.evaluate("JSON.parse(sessionStorage.getItem('shopping')).session"))

    async def listens(self) -> None:
        """Until a stream is open."""
        await until(lambda: len(self.shop.inside.channels))

    async def pay(self, button: str = "pay") -> None:
        """From the basket to the provider's page, and the button there, until it has answered."""
        await self.tap("pay")
        await self.page.locator(f"form[action$='/{button}'] button").click()
        await self.page.wait_for_url("**/pay/*?declined=true" if button == "decline" else "**/pay/*")
        if button == "pay":
            await expect(self.page.locator("form")).to_have_count(0)

    async def go_back(self) -> None:
        """The pay page's link."""
        await self.page.get_by_role("link").click()
