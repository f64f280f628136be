"""Journeys with power cuts: the program is killed at any moment, with the network cut too; at the end the cart's
display, its journal, the basket and the server agree, nothing is counted twice, and nothing that was confirmed is lost.
"""

import asyncio
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest

from duckycart.testing.endpoint import Endpoint
from duckycart.testing.furnish import MILK
from duckycart.testing.relay import Relay, relaying
from duckycart.testing.waiting import until
from tests.cart.test_shopping_for_real import ProgramWithHands, basket, kept, program
from tests.world import Shop

JOURNEYS = 10  # of each seed
STEPS = 6
AGAIN = 10  # looks at which display and server agree, so that nothing is on its way


class Journey:
    """One session of one cart, whose power and network fail."""

    def __init__(self, shop: Shop, state: Path, relay: Relay, random: Random) -> None:
        self._shop = shop
        self._state = state
        self._relay = relay
        self._random = random
        self._stack = AsyncExitStack()
        self.cart: ProgramWithHands | None = None
        self.confirmed = 0  # units that a display showed as in the basket
        self.scans = 0

    async def power_on(self) -> None:
        self._stack = AsyncExitStack()
        url = f"http://127.0.0.1:{self._relay.port}"
        self.cart = await self._stack.enter_async_context(program(self._shop, self._state, url=url))

    async def power_off(self) -> None:
        await self._stack.aclose()
        assert self.cart is not None
        self.confirmed = max(self.confirmed, shown(self.cart.events))
        self.cart = None

    async def step(self) -> None:
        assert self.cart is not None
        match self._random.choice(["scan", "scan", "cut", "power", "both", "lose"]):
            case "scan":
                self.cart.hear(scanned=MILK)
                self.scans += 1
            case "cut":
                self._relay.cut()
            case "lose":
                self._relay.lose(1, beginning=b"HTTP/1.1 200")
            case "power":
                await self.power_off()
                await self.power_on()
            case "both":
                self._relay.cut()
                await self.power_off()
                await self.power_on()
        for _ in range(self._random.randrange(40)):  # a moment, of any length
            await asyncio.sleep(0.001)

    async def settled(self, session_id: int) -> int:
        """Wait until nothing waits any more, and the display and the server agree; the units that both have then."""
        assert self.cart is not None
        cart = self.cart
        cart.hear(nothing="to hear")  # what was said before is heard once this is answered
        await until(lambda: any(notice.startswith("A line must be") for notice in cart.notices()))
        agreed = 0

        async def agree() -> bool:
            nonlocal agreed
            units = sum(quantity for quantity, _ in await basket(self._shop, session_id))
            read = any(one["event"] == "basket" for one in cart.events)
            alike = read and units == shown(cart.events) and kept(self._state)["calls"] == []
            agreed = agreed + 1 if alike else 0
            return agreed == AGAIN

        await until(agree)
        return shown(cart.events)


def over(state: Path) -> bool:
    return kept(state)["session"] is None


def shown(events: list[dict[str, Any]]) -> int:
    """How many units the last basket that was displayed had."""
    baskets = [one for one in events if one["event"] == "basket"]
    return sum(item["quantity"] for item in baskets[-1]["items"]) if baskets else 0


@pytest.mark.parametrize(
    "seed",
    [0, *(pytest.param(seed, marks=pytest.mark.proof) for seed in range(1, 31))],
    ids=lambda seed: f"seed {seed}",
)
async def test_after_power_cuts_at_any_moment_all_agree(shop: Shop, tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    shopper = await shop.shopper()
    for number in range(JOURNEYS if seed else 2):
        state = tmp_path / str(number)
        async with relaying(Endpoint.of(shop.url)) as relay:
            journey = Journey(shop, state, relay, random)
            await journey.power_on()
            await shop.online()
            session_id = await shop.start(shopper)
            for _ in range(STEPS):
                await journey.step()
            units = await journey.settled(session_id)
            assert journey.confirmed <= units <= journey.scans
            if units:
                payment = (await shop.create_payment(session_id, shopper)).json()
                assert journey.cart is not None
                await journey.cart.shows("hold_for_payment", session=session_id)
                if random.random() < 0.5:
                    await journey.power_off()
                    await shop.press(payment["payment_url"])
                    await journey.power_on()
                else:
                    await shop.press(payment["payment_url"])
            else:
                await shop.http.post(f"/customer-session/{session_id}/end", headers=shopper)
            await until(partial(over, state))
            await journey.power_off()
            await shop.offline()
            shop.clock.move(11)  # the brake on connects
