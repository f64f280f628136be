"""The program on the cart and the real server: killed in every state, it comes back to the one the server says."""

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from duckycart.testing.waiting import PATIENCE
from tests.world import Shop


class CartProcess:
    """`duckycart cart 1` as a process of its own, and what its hardware was told."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.shown: list[str] = []

    async def shows(self, *wanted: str) -> None:
        """Until the hardware has done exactly these things, in this order, since the last call."""
        assert self._process.stdout is not None
        got: list[str] = []
        async with asyncio.timeout(PATIENCE):
            while len(got) < len(wanted):
                line = await self._process.stdout.readline()
                assert line, f"the program ended after {got}"
                event = json.loads(line)
                if event["event"] not in ("connection", "notice", "basket"):
                    got.append(event["event"] + (f" {event['session']}" if "session" in event else ""))
        assert got == list(wanted)

    async def end(self, how: signal.Signals) -> None:
        if self._process.returncode is None:
            self._process.send_signal(how)
        await self._process.communicate()


@asynccontextmanager
async def cart_process(shop: Shop, how: signal.Signals = signal.SIGKILL) -> AsyncIterator[CartProcess]:
    """A running cart that is connected; ended by `how`."""
    await shop.offline()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "duckycart", "cart", "1", "--url", shop.url, "--driver", "lines", "--no-qr"),
        env={"DUCKYCART_KEY": shop.keys[1]},
        stdout=PIPE,
        stdin=asyncio.subprocess.DEVNULL,
    )
    cart = CartProcess(process)
    try:
        await cart.shows("show_idle")
        await shop.online()
        yield cart
    finally:
        await cart.end(how)


async def test_a_cart_program_follows_a_whole_session(shop: Shop) -> None:
    shopper = await shop.shopper()
    async with cart_process(shop, signal.SIGTERM) as cart:
        session_id = await shop.start(shopper)
        await cart.shows("show_qr", f"start_shopping {session_id}")
        await shop.add(session_id)
        payment = (await shop.create_payment(session_id, shopper)).json()
        await cart.shows(f"hold_for_payment {session_id}")
        await shop.press(payment["payment_url"])
        await cart.shows("return_to_idle")
        assert await shop.settled() == ["received"] * 4


Bring = Callable[[Shop, dict[str, str]], Awaitable[list[str]]]


async def _idle(shop: Shop, shopper: dict[str, str]) -> list[str]:
    return []


async def _qr(shop: Shop, shopper: dict[str, str]) -> list[str]:
    await shop.qr()
    return ["show_qr"]


async def _shopping(shop: Shop, shopper: dict[str, str]) -> list[str]:
    return ["show_qr", f"start_shopping {await shop.start(shopper)}"]


async def _held(shop: Shop, shopper: dict[str, str]) -> list[str]:
    session_id = await shop.start(shopper)
    await shop.add(session_id)
    await shop.create_payment(session_id, shopper)
    return ["show_qr", f"start_shopping {session_id}", f"hold_for_payment {session_id}"]


@pytest.mark.parametrize("bring", [_idle, _qr, _shopping, _held])
async def test_killed_and_restarted_it_ends_in_the_state_the_server_says(shop: Shop, bring: Bring) -> None:
    shopper = await shop.shopper()
    async with cart_process(shop) as cart:
        steps = await bring(shop, shopper)
        await cart.shows(*steps)
        await shop.settled()
    async with cart_process(shop) as cart:
        # It has forgotten everything, and hears the present again, not the past: no QR of before the session.
        present = steps if bring is not _shopping and bring is not _held else steps[1:]
        await cart.shows(*present)
        assert "superseded" not in await shop.settled()


async def test_what_happened_while_it_was_dead_is_what_it_finds(shop: Shop) -> None:
    shopper = await shop.shopper()
    async with cart_process(shop) as cart:
        session_id = await shop.start(shopper)
        await cart.shows("show_qr", f"start_shopping {session_id}")
        await shop.settled()
    await shop.offline()
    await shop.add(session_id)
    payment = (await shop.create_payment(session_id, shopper)).json()
    await shop.press(payment["payment_url"])
    next_session = await shop.start(await shop.shopper("omar@example.com"))
    async with cart_process(shop) as cart:
        await cart.shows(f"start_shopping {next_session}")
        assert set(await shop.settled()) == {"received", "superseded"}
