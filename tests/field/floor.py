"""The shop's floor: carts with their screens, shoppers with their phones, and one bad network for all of them."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from random import Random
from typing import Any

from duckycart.testing.caller import Caller
from duckycart.testing.fielded import FieldedCart
from duckycart.testing.relay import CALM, Odds, Relay
from duckycart.testing.waiting import until
from duckycart.tokens import AccessToken
from tests.field.journey import Journey
from tests.field.pace import Pace, Tasks
from tests.field.phone import Phone
from tests.field.screen import FieldedScreen
from tests.hardware.test_churn import sockets
from tests.world import Shop


class Floor:
    """Everything is drawn from `seed`, so that what failed once can be looked at again."""

    def __init__(self, shop: Shop, seed: str, carts: int, odds: Odds, blocks: float) -> None:
        self.shop = shop
        self.seed = seed
        self.odds = odds
        self.pace = Pace(shop)
        self.tasks = Tasks()  # the clock's and the carts'
        self.screens_tasks = Tasks()
        self.network = Relay(shop.endpoint, seed=seed, odds=odds, same_address=True)
        self.blocks = blocks
        self.cart_ids = range(1, carts + 1)
        self.carts: list[FieldedCart] = []
        self.screens: list[FieldedScreen] = []
        self.phones: list[Phone] = []
        self.journeys = 0
        self._tasks_before = 0

    @property
    def devices(self) -> "list[FieldedCart | FieldedScreen | Phone]":
        return [*self.carts, *self.screens, *self.phones]

    async def open(self) -> None:
        self._tasks_before = len(asyncio.all_tasks())
        await self.network.open()
        self.tasks.start(self.pace.run())
        for cart_id in self.cart_ids:
            if cart_id not in self.shop.keys:
                await self.shop.add_cart(cart_id)
            here = self.network.endpoint.called_from(f"127.1.0.{cart_id}")
            random = Random(f"{self.seed} cart {cart_id}")
            cart = FieldedCart(here, cart_id, self.shop.keys[cart_id], self.pace, random=random, blocks=self.blocks)
            screen = FieldedScreen(cart_id, here, self.pace, self.screens_tasks)
            self.carts.append(cart)
            self.screens.append(screen)
            self.tasks.start(cart.run())
            self.screens_tasks.start(screen.run())
        for number in range(2 * len(self.cart_ids)):
            user_id = await self.shop.add_user(f"{number}@example.com")
            token = self.shop.inside.tokens.access(AccessToken(user_id, is_operator=False))
            headers = {"Authorization": f"Bearer {token}"}
            self.phones.append(Phone(user_id, headers, self.network.endpoint.called_from(f"127.2.0.{number + 1}")))

    async def go(self, journeys: int) -> None:
        """So many journeys with each cart, all carts at once."""
        free = deque(self.phones)
        await self._all_or_first_failure(
            [self._cart_s_day(number, journeys, free) for number in range(len(self.carts))]
        )

    async def _cart_s_day(self, number: int, journeys: int, free: deque[Phone]) -> None:
        random = Random(f"{self.seed} day of cart {self.cart_ids[number]}")
        bank = Caller(self.network.endpoint.called_from(f"127.3.0.{number + 1}"), {})
        for _ in range(journeys):
            phone = free.popleft()
            rival = free.popleft() if random.random() < 0.1 else None
            cart, screen = self.carts[number], self.screens[number]
            try:
                await Journey(self.shop, self.pace, cart, screen, phone, rival, bank, random).go()
            except AssertionError as error:
                error.add_note(f"{self.link_of(cart)}; {await self.shop.commands(cart.id)}")
                raise
            self.journeys += 1
            free.extend(it for it in (phone, rival) if it is not None)
        bank.close()

    def link_of(self, cart: FieldedCart) -> str:
        """What server, network and cart make of its connection."""
        connection = self.shop.inside.dispatch.links.current(cart.id)
        link = "none" if connection is None else {it: getattr(connection.link, it) for it in connection.link.__slots__}
        wires = [wire for wire in self.network.wires if wire.address == cart.endpoint.local and wire.is_link]
        return f"its link at {self.shop.clock.monotonic()}: {link}; wires {wires}, {cart.refusals}, {cart.closes}"

    async def _all_or_first_failure(self, work: list[Coroutine[Any, Any, None]]) -> None:
        going = [asyncio.create_task(one) for one in work]
        try:
            while not all(one.done() for one in going):
                await self.pace.sleep(5)
                self._raise_failures()
                for one in going:
                    if one.done():
                        one.result()
        finally:
            for one in going:
                one.cancel()
            await asyncio.gather(*going, return_exceptions=True)

    def _raise_failures(self) -> None:
        for failure in (*self.tasks.failures(), *self.screens_tasks.failures()):
            raise failure

    async def settle(self) -> None:
        """The network is whole again, and all who wait for something get it, or give it up."""
        self.network.odds = CALM
        self.network.storms.clear()
        await self.pace.sleep(90)  # 40 s for the last half-open link, 60 s of grace for screens
        await self.pace.until(self._settled, self._unsettled, within=120)
        self._raise_failures()

    def _settled(self) -> bool:
        return not self._unsettled()

    def _unsettled(self) -> str:
        listening = [it for screen in self.screens for pair in screen.sockets.values() for it in pair if not it.over]
        links = len(self.shop.inside.dispatch.links)
        missing = "" if links == len(self.carts) else f"{links} links of {len(self.carts)} carts"
        return ", ".join([*map(repr, listening), *([missing] if missing else [])])

    def report(self) -> str:
        """What happened, in numbers."""
        carts = self.carts
        return (
            f"{self.journeys} journeys in {self.pace.seconds} s of the clock; {dict(self.network.done)}; "
            f"carts connected {sum(cart.connects for cart in carts)} times, were refused "
            f"{dict(sum((cart.refusals for cart in carts), Counter()))}, closed "
            f"{dict(sum((cart.closes for cart in carts), Counter()))}, blocked {sum(cart.blocked for cart in carts)} "
            f"times, heard a session's start again with an empty basket {sum(cart.repeated for cart in carts)} times, "
            f"lost their session between an end and a start {sum(cart.torn for cart in carts)} times; "
            f"phones repeated {sum(phone.repeated for phone in self.phones)} calls; screens opened "
            f"{sum(it.opened for screen in self.screens for pair in screen.sockets.values() for it in pair)} sockets"
        )

    async def only_carts_stay(self) -> None:
        """Screens and phones have left."""
        await self.screens_tasks.stop()
        for device in self.devices:
            device.leave()

    async def close(self) -> None:
        """Everybody has gone home, and nothing of them is left."""
        await self.only_carts_stay()
        await self.tasks.stop()
        await self.network.close()
        await until(lambda: not sockets(self.shop) and not self.shop.inside.channels)
        await until(lambda: len(asyncio.all_tasks()) <= self._tasks_before)


@asynccontextmanager
async def floor(shop: Shop, seed: str, carts: int, odds: Odds = CALM, blocks: float = 0.0) -> AsyncIterator[Floor]:
    """A floor whose carts are connecting; at the end all have left, whatever happened."""
    it = Floor(shop, seed, carts, odds, blocks)
    await it.open()
    try:
        yield it
    finally:
        await it.close()
