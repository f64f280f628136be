"""A real browser for the pages: one Chromium for all its tests, a fresh profile for each."""

import os
import shutil
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, async_playwright

from tests.conftest import OpenShop
from tests.pages.phone import Phones
from tests.world import Shop

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--renderer-process-limit=1",  # none in reserve: each new page would start one that nobody uses
]


MISSING = "NO CHROMIUM on the PATH: the pages are NOT tested in a browser"


@pytest.fixture(scope="package")
def anyio_backend() -> str:
    return "asyncio"


def find_chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="package")
def chromium() -> str:
    """Its path. Where there is none the tests are skipped, aloud; the continuous integration must have it."""
    path = find_chromium()
    if path is None and os.environ.get("CI") == "true":
        pytest.fail(MISSING)
    return path or pytest.skip(MISSING)


@pytest.fixture(scope="package")
async def browser(anyio_backend: str, chromium: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, headless=True, args=FLAGS)
        yield browser
        await browser.close()


@pytest.fixture
async def shop(opening: OpenShop) -> AsyncIterator[Shop]:
    """As everywhere, with a second cart; both may start sessions without being connected."""
    async with opening(offline_carts="accept") as shop:
        await shop.furnish()
        await shop.add_cart(2)
        yield shop


@pytest.fixture
async def phones(shop: Shop, browser: Browser) -> AsyncIterator[Phones]:
    """Opens phones in the shop; at the end none of them may have had an error in its console."""
    phones = Phones(shop, browser)
    yield phones
    await phones.close()
    assert phones.complaints == []


@pytest.fixture
def database(sqlite_database: str) -> str:
    """Which database the server has is not seen from here."""
    return sqlite_database
