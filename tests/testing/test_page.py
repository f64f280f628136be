"""docs/testing.md, run as it stands there."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from duckycart.cart.driver import Driver
from duckycart.cart.program import CartProgram
from tests.process.world import Served, serving

PAGE = (Path(__file__).parent.parent.parent / "docs/testing.md").read_text()


EXAMPLES = re.findall(r"<!-- tested: tests/testing/test_page.py -->\n```python\n(.*?)```", PAGE, re.DOTALL)


def shown() -> dict[str, Any]:
    """What the page's examples define."""
    names: dict[str, Any] = {}
    for example in EXAMPLES:
        exec(compile(example, "docs/testing.md", "exec", dont_inherit=True), names)
    return names


class ReferenceCart(Driver):
    """The program of `duckycart cart`, and what it did."""

    def __init__(self) -> None:
        self.session: int | None = None
        self.held = False
        self.started: list[int] = []

    def start_shopping(self, session_id: int) -> None:
        self.session = session_id
        self.started.append(session_id)

    def hold_for_payment(self, session_id: int) -> None:
        self.held = True

    def return_to_idle(self) -> None:
        self.session, self.held = None, False


@asynccontextmanager
async def start(url: str, key: str) -> AsyncIterator[ReferenceCart]:
    cart = ReferenceCart()
    running = asyncio.create_task(CartProgram(1, url, cart, key=key, ask_for_qr=False).run())
    try:
        yield cart
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """A server of its own for each example: it brakes a cart that connects more than five times in 10 s."""
    with serving(tmp_path) as served:
        yield served
        await served.http.aclose()


async def test_a_cart_is_tested_as_the_page_on_testing_shows(served: Served) -> None:
    page = shown()
    furnished = page["shop"](served.database)
    await served.start()
    key, token = furnished.keys[1], furnished.shoppers[1]
    await page["a_cart_keeps_its_session_over_a_lost_pong"](served.url, key, token, start)


async def test_the_small_cart_of_the_page_passes_the_test_of_the_page(served: Served) -> None:
    page = shown()
    (served.database.parent / "shop.py").write_text(EXAMPLES[0])
    program = [sys.executable, "shop.py", "shop.db"]
    printed = await asyncio.to_thread(subprocess.check_output, program, cwd=served.database.parent)
    made = json.loads(printed)
    await served.start()
    await page["a_cart_keeps_its_session_over_a_lost_pong"](served.url, made["key"], made["token"], page["start"])


def test_the_tests_of_a_cart_need_no_server_installed() -> None:
    """All that the page shows but `shop.py` runs where only the light package is."""
    for example in EXAMPLES[1:]:
        assert "furnish import" not in example
        assert "duckycart.store" not in example


async def test_a_server_is_tested_as_the_page_on_testing_shows(served: Served) -> None:
    page = shown()
    furnished = page["shop"](served.database)
    await served.start()
    await page["a_server_says_again_what_nobody_received"](served.url, furnished.keys[1])
