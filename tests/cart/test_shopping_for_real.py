"""The program and the real server: what is scanned is in the basket, once, whatever breaks between."""

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from duckycart.store.tables import basket_lines, fraud_warnings
from duckycart.testing.endpoint import Endpoint
from duckycart.testing.furnish import MILK
from duckycart.testing.relay import relaying
from duckycart.testing.waiting import PATIENCE, until
from tests.world import Shop

pytestmark = pytest.mark.any_store


class ProgramWithHands:
    """`duckycart cart 1 --driver lines`: what it writes, and what its hardware hears."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.events: list[dict[str, Any]] = []
        self._changed = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            self.events.append(json.loads(line))
            self._changed.set()

    def hear(self, **what: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what).encode() + b"\n")

    async def shows(self, event: str, **wanted: Any) -> dict[str, Any]:
        """Wait until this was shown, since the start; the latest."""
        async with asyncio.timeout(PATIENCE):
            while not (
                found := [one for one in self.events if one["event"] == event and wanted.items() <= one.items()]
            ):
                self._changed.clear()
                await self._changed.wait()
        return found[-1]

    def notices(self) -> list[str]:
        return [one["text"] for one in self.events if one["event"] == "notice"]

    async def end(self, how: signal.Signals) -> None:
        if self._process.returncode is None:
            self._process.send_signal(how)
        await self._process.wait()
        await self._reading


@asynccontextmanager
async def program(
    shop: Shop, state: Path, how: signal.Signals = signal.SIGKILL, url: str | None = None
) -> AsyncIterator[ProgramWithHands]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "duckycart", "cart", "1", "--url", url or shop.url, "--driver", "lines", "--no-qr"),
        *("--state", str(state)),
        env={"DUCKYCART_KEY": shop.keys[1]},
        stdin=PIPE,
        stdout=PIPE,
    )
    cart = ProgramWithHands(process)
    try:
        yield cart
    finally:
        await cart.end(how)


async def begun(shop: Shop, cart: ProgramWithHands, shopper: dict[str, str]) -> int:
    """The id of a session that the cart is in, with nothing in its basket."""
    await shop.online()
    session_id = await shop.start(shopper)
    await cart.shows("basket", items=[])
    return session_id


async def basket(shop: Shop, session_id: int) -> list[tuple[int, int]]:
    """Quantity and grams of each line."""
    lines = select(basket_lines.c.quantity, basket_lines.c.saved_weight).where(basket_lines.c.session_id == session_id)
    rows = await shop.inside.store.read(lambda connection: connection.execute(lines).all())
    return [(row.quantity, row.saved_weight) for row in rows]


async def warnings(shop: Shop) -> list[str]:
    words = select(fraud_warnings.c.type_of_warning).order_by(fraud_warnings.c.id)
    return [row[0] for row in await shop.inside.store.read(lambda connection: connection.execute(words).all())]


async def test_what_is_scanned_and_put_in_is_in_the_basket_with_its_weight(shop: Shop, tmp_path: Path) -> None:
    shopper = await shop.shopper()
    async with program(shop, tmp_path) as cart:
        await shop.online()
        cart.hear(weighed=200)
        session_id = await shop.start(shopper)
        await cart.shows("basket", items=[])
        cart.hear(scanned=MILK)
        await cart.shows("notice", text="Put it in.")
        cart.hear(weighed=1230)
        shown = await cart.shows("basket", items=[{"barcode": MILK, "quantity": 1}])
        assert shown["total"] == "12.50 EGP"
        assert await basket(shop, session_id) == [(1, 1030)]
        cart.hear(weighed=1700)
        await until(lambda: warnings(shop))
        assert await warnings(shop) == ["weight increased"]
        cart.hear(weighed=1230)
        await cart.shows("notice", text="All is well again.")
        cart.hear(pressed="take_back")
        cart.hear(weighed=200)
        await until(lambda: empty(shop, session_id))
        assert await warnings(shop) == ["weight increased"]


async def empty(shop: Shop, session_id: int) -> bool:
    return await basket(shop, session_id) == []


async def test_an_unknown_product_is_said_and_counts_nothing(shop: Shop, tmp_path: Path) -> None:
    shopper = await shop.shopper()
    async with program(shop, tmp_path) as cart:
        session_id = await begun(shop, cart, shopper)
        cart.hear(scanned=4)
        await until(lambda: [one["event"] for one in cart.events].count("basket") == 2)  # it was read once more
        assert any("4" in notice for notice in cart.notices())
        cart.hear(scanned=MILK)
        await cart.shows("basket", items=[{"barcode": MILK, "quantity": 1}])
        assert len(await basket(shop, session_id)) == 1


async def test_a_cart_that_was_killed_goes_on_where_it_stood(shop: Shop, tmp_path: Path) -> None:
    shopper = await shop.shopper()
    async with program(shop, tmp_path) as cart:
        session_id = await begun(shop, cart, shopper)
        cart.hear(scanned=MILK)
        await cart.shows("basket", items=[{"barcode": MILK, "quantity": 1}])
    async with program(shop, tmp_path) as cart:
        await cart.shows("start_shopping", session=session_id)
        assert cart.events[1]["event"] == "start_shopping"  # at once, before the server could say anything
        await cart.shows("basket", items=[{"barcode": MILK, "quantity": 1}])
        payment = (await shop.create_payment(session_id, shopper)).json()
        await cart.shows("hold_for_payment", session=session_id)
    async with program(shop, tmp_path) as cart:
        await cart.shows("hold_for_payment", session=session_id)
        await shop.press(payment["payment_url"])
        await cart.shows("return_to_idle")


async def test_a_session_that_ended_while_the_cart_was_off_is_over_for_it_too(shop: Shop, tmp_path: Path) -> None:
    shopper = await shop.shopper()
    async with program(shop, tmp_path) as cart:
        session_id = await begun(shop, cart, shopper)
    await shop.offline()
    assert (await shop.http.post(f"/customer-session/{session_id}/end", headers=shopper)).status_code == 200
    async with program(shop, tmp_path) as cart:
        await cart.shows("start_shopping", session=session_id)
        await cart.shows("return_to_idle")
        await until(lambda: kept(tmp_path)["session"] is None)
    async with program(shop, tmp_path) as cart:
        await cart.shows("connection", connected=True)
        assert [one["event"] for one in cart.events[:2]] == ["show_idle", "connection"]


async def test_a_session_whose_end_was_heard_and_not_yet_written_when_the_power_failed_is_over(
    shop: Shop, tmp_path: Path
) -> None:
    """The server has the receipt, and sends that end no more."""
    shopper = await shop.shopper()
    async with program(shop, tmp_path) as cart:
        session_id = await begun(shop, cart, shopper)
        await until(lambda: kept(tmp_path)["session"] == session_id)
        written = (tmp_path / "cart-1.json").read_bytes()
        assert (await shop.http.post(f"/customer-session/{session_id}/end", headers=shopper)).status_code == 200
        await cart.shows("return_to_idle")
        await until(lambda: kept(tmp_path)["session"] is None)
    await shop.offline()
    (tmp_path / "cart-1.json").write_bytes(written)
    async with program(shop, tmp_path) as cart:
        await cart.shows("start_shopping", session=session_id)
        await cart.shows("return_to_idle")
        await until(lambda: kept(tmp_path)["session"] is None)


async def test_what_was_scanned_while_the_network_was_away_is_sent_once_by_whoever_runs_next(
    shop: Shop, tmp_path: Path
) -> None:
    shopper = await shop.shopper()
    async with relaying(Endpoint.of(shop.url)) as relay:
        url = f"http://127.0.0.1:{relay.port}"
        async with program(shop, tmp_path, url=url) as cart:
            session_id = await begun(shop, cart, shopper)
            relay.shut()
            relay.cut()
            for _ in range(3):
                cart.hear(scanned=MILK)
            await until(lambda: len(kept_calls(tmp_path)) == 3)
            await until(lambda: any("cannot be reached" in notice for notice in cart.notices()))
        await relay.open()
        async with program(shop, tmp_path, url=url) as cart:
            await cart.shows("basket", items=[{"barcode": MILK, "quantity": 3}], waiting=0)
            assert [quantity for quantity, _ in await basket(shop, session_id)] == [3]
            await until(lambda: kept_calls(tmp_path) == [])


@pytest.mark.parametrize("times", [1, 4])
async def test_an_item_whose_answer_is_lost_is_in_the_basket_once(shop: Shop, tmp_path: Path, times: int) -> None:
    shopper = await shop.shopper()
    async with relaying(Endpoint.of(shop.url)) as relay:
        async with program(shop, tmp_path, url=f"http://127.0.0.1:{relay.port}") as cart:
            session_id = await begun(shop, cart, shopper)
            relay.lose(times, beginning=b"HTTP/1.1 200")
            cart.hear(scanned=MILK)
            await cart.shows("basket", items=[{"barcode": MILK, "quantity": 1}], waiting=0)
            assert relay.to_lose == 0
        assert [quantity for quantity, _ in await basket(shop, session_id)] == [1]


async def test_what_is_left_when_the_session_ends_is_dropped_and_said(shop: Shop, tmp_path: Path) -> None:
    """The socket is there, and calls find no way: a network that lets only old connections pass."""
    shopper = await shop.shopper()
    async with AsyncExitStack() as stack:
        relay = await stack.enter_async_context(relaying(Endpoint.of(shop.url)))
        url = f"http://127.0.0.1:{relay.port}"
        cart = await stack.enter_async_context(program(shop, tmp_path, url=url))
        session_id = await begun(shop, cart, shopper)
        relay.lose(1000, beginning=b"HTTP/1.1 ")
        cart.hear(scanned=MILK)
        await until(lambda: any("Trying again" in notice for notice in cart.notices()))
        relay.shut()
        assert (await shop.http.post(f"/customer-session/{session_id}/end", headers=shopper)).status_code == 200
        await cart.shows("return_to_idle")
        await cart.shows("notice", text="The session is over, and 1 of its changes was never sent.")


def kept(state: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((state / "cart-1.json").read_text())
    return found


def kept_calls(state: Path) -> list[Any]:
    found: list[Any] = kept(state)["calls"]
    return found
