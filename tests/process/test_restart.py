"""F69: the listening socket outlives the process, and a restart under load refuses nobody and loses nothing."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from duckycart.testing.caller import Caller, Lost
from duckycart.testing.fielded import FieldedCart
from duckycart.testing.furnish import MILK, key_of
from duckycart.testing.waiting import PATIENCE, until
from tests.field.pace import Pace, Tasks
from tests.field.phone import Phone
from tests.field.screen import PAID, FieldedScreen, SessionSocket
from tests.process.world import Served

CARTS = 6
LOAD = {
    "DUCKYCART_LEGACY_SCREENS": "127.0.0.0/8",
    "DUCKYCART_LEGACY_PER_MINUTE": "100000",
    "DUCKYCART_ADDRESS_PER_MINUTE": "100000",
    "DUCKYCART_CONNECTS": "1000",
}


class Hurried(Pace):
    """The doubles' clock where the server's is a real one: their seconds are short."""

    def __init__(self) -> None:
        self.seconds = 0
        self._waiting = []
        self._count = 0

    def now(self) -> int:
        return self.seconds * 1000

    async def run(self) -> None:
        while True:
            await asyncio.sleep(0.05)
            self.seconds += 1
            self._ring()


class Crowd:
    """Carts with their screens, and guests who shop with them, one after the other, until `over`."""

    def __init__(self, served: Served) -> None:
        self.pace = Hurried()
        self.tasks = Tasks()
        self.carts: list[FieldedCart] = []
        self.screens: list[FieldedScreen] = []
        self.phones: list[Phone] = []
        self.callers: list[Caller] = []
        self.over = False
        self.paid = 0  # sessions
        self._served = served

    @property
    def added(self) -> int:
        """Units that carts were told are in their baskets."""
        return sum(basket.sure.total() for cart in self.carts for basket in cart.baskets.values())

    def come(self) -> list[asyncio.Task[None]]:
        self.tasks.start(self.pace.run())
        for cart_id in range(1, CARTS + 1):
            here = self._served.endpoint.called_from(f"127.1.0.{cart_id}")
            cart = FieldedCart(here, cart_id, key_of(cart_id), self.pace)
            screen = FieldedScreen(cart_id, here, self.pace, self.tasks)
            self.carts.append(cart)
            self.screens.append(screen)
            self.tasks.start(cart.run())
            self.tasks.start(screen.run())
        pairs = zip(self.carts, self.screens, strict=True)
        return [self.tasks.start(self._day(cart, screen)) for cart, screen in pairs]

    async def _day(self, cart: FieldedCart, screen: FieldedScreen) -> None:
        while not self.over:
            await self._visit(cart, screen)

    async def _visit(self, cart: FieldedCart, screen: FieldedScreen) -> None:
        token = await screen.qr()
        door = Caller(cart.endpoint, {})
        self.callers.append(door)
        guest = await self._guest(door, token)
        headers = {"Authorization": f"Bearer {guest['access_token']}"}
        phone = Phone(guest["user"]["id"], headers, cart.endpoint)
        self.phones.append(phone)
        session_id = await phone.scan(token)
        assert session_id is not None
        await until(lambda: cart.session == session_id and session_id in screen.sockets)
        page, forgotten = screen.sockets[session_id]
        await until(lambda: page.opened and forgotten.opened)
        for _ in range(8):
            await cart.add(session_id, MILK)
        url = await phone.pay(session_id)
        assert url is not None
        await phone.press(url, "pay")
        await until(lambda: session_id in cart.ended and page.over)
        assert page.last == {"type": PAID, "data": 0}
        self.paid += 1
        door.close()
        phone.leave()

    async def _guest(self, door: Caller, token: str) -> Any:
        while True:
            with suppress(Lost):
                return (await door("POST", "/auth/guest", {"token": token})).body

    async def goes_on(self, visits: int = CARTS) -> None:
        """Until so many more sessions were paid."""
        wanted = self.paid + visits

        def done() -> bool:
            for failure in self.tasks.failures():
                raise failure
            return self.paid >= wanted

        await until(done)

    async def shops(self) -> None:
        """Until something more was put into a cart: so somebody is in the midst of it."""
        before = self.added
        await until(lambda: self.added > before)

    def lost(self) -> int:
        """Calls that got no answer."""
        return sum(caller.lost for caller in (*self.callers, *(it for it in self.devices())))

    def devices(self) -> list[FieldedCart | FieldedScreen | Phone]:
        return [*self.carts, *self.screens, *self.phones]

    def sockets(self) -> list[SessionSocket]:
        return [it for screen in self.screens for pair in screen.sockets.values() for it in pair]

    def nobody_is_deaf(self) -> None:
        assert [it for it in self.sockets() if it.refused is not None] == [], "refused, and gave up"
        assert [screen.wrong for screen in self.screens if screen.wrong] == []

    def baskets_are_the_servers(self) -> None:
        rows = self._served.rows("SELECT session_id, quantity FROM basket_lines")
        lines = {session_id: Counter({MILK: quantity}) for session_id, quantity in rows}
        for cart in self.carts:
            assert (cart.wiped, cart.wrong) == ([], [])
            for session_id, basket in cart.baskets.items():
                assert basket.is_what(lines.get(session_id, Counter())), f"session {session_id}: {basket}, {lines}"


@asynccontextmanager
async def crowd(served: Served) -> AsyncIterator[Crowd]:
    it = Crowd(served)
    days = it.come()
    try:
        yield it
        it.over = True
        async with asyncio.timeout(PATIENCE * 2):
            await asyncio.gather(*days)
    finally:
        await it.tasks.stop()
        for device in it.devices():
            device.leave()


@pytest.fixture
def shop(served: Served) -> Served:
    """Carts and a product, and the socket that is kept."""
    served.furnish(CARTS)
    served.hold()
    return served


async def start(served: Served) -> None:
    await served.start(**LOAD)


async def test_f69_a_restart_under_load_fails_no_call_and_leaves_no_screen_deaf(shop: Served) -> None:
    await start(shop)
    async with crowd(shop) as it:
        await it.goes_on()
        for _ in range(2):
            await it.shops()
            assert await shop.stop() == 0
            await start(shop)
            await it.goes_on()
    assert it.lost() == 0
    assert [phone.repeated for phone in it.phones if phone.repeated] == []
    assert [socket for socket in it.sockets() if socket.lost] == []
    assert max(socket.opened for socket in it.sockets()) > 1
    assert sum((cart.refusals for cart in it.carts), Counter()) == Counter()
    it.nobody_is_deaf()
    it.baskets_are_the_servers()
    assert await shop.stop() == 0
    assert "Traceback" not in shop.log.read_text()


async def test_f69_after_kill_9_only_what_was_in_flight_is_lost_and_whoever_comes_next_waits(shop: Served) -> None:
    await start(shop)
    async with crowd(shop) as it:
        await it.goes_on()
        await shop.die()
        lost = it.lost()
        waiting = [asyncio.create_task(shop.ask("GET", "/healthz")) for _ in range(10)]
        await asyncio.sleep(0)
        await start(shop)
        for answer in await asyncio.gather(*waiting):
            assert answer is not None
            assert answer.status_code == 200
        await it.goes_on()
    callers_of_one_cart = 4  # cart, screen, phone, and the guest at the door
    assert lost <= it.lost() <= CARTS * callers_of_one_cart
    it.nobody_is_deaf()
    it.baskets_are_the_servers()


async def test_f69_a_server_that_is_started_late_answers_who_came_before_it(shop: Served) -> None:
    early = asyncio.create_task(shop.ask("GET", "/healthz"))
    cart = asyncio.create_task(shop.cart())
    await start(shop)
    answer = await early
    assert answer is not None
    assert answer.status_code == 200
    assert (await cart).response is not None
    assert await shop.stop() == 0
