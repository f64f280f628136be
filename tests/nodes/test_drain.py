"""The end of one node among others: readiness first, idle carts next, screens last, and nothing said twice (F26)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from types import SimpleNamespace

import pytest

from duckycart.hardware import drain as drain_module
from duckycart.testing.cart import CartConnection
from duckycart.testing.waiting import until
from tests.channels.world import screen
from tests.hardware.helpers import GENERATE_QR, heard, raw, refused
from tests.nats import NatsServer
from tests.nodes.world import Node, heartbeat_of, open_node

CARTS = 5


class Step:
    """Stands for the pauses between batches: each goes on when the test says so."""

    def __init__(self) -> None:
        self._pauses: list[asyncio.Future[None]] = []
        self.seconds: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.seconds.append(seconds)
        pause: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pauses.append(pause)
        await pause

    async def reached(self, number: int) -> None:
        await until(lambda: len(self._pauses) == number)

    def go_on(self) -> None:
        self._pauses[-1].set_result(None)


@pytest.fixture
def step(monkeypatch: pytest.MonkeyPatch) -> Step:
    step = Step()
    paced = SimpleNamespace(sleep=step.sleep, get_running_loop=asyncio.get_running_loop)
    monkeypatch.setattr(drain_module, "asyncio", paced)
    return step


@pytest.fixture
async def pair(postgres_database: str, nats: NatsServer) -> AsyncIterator[tuple[Node, Node]]:
    """The node that will end, with carts 1 to 5 on it, and one that stays. Twenty carts a second: two at a time."""
    async with AsyncExitStack() as stack:
        stays = await stack.enter_async_context(open_node(postgres_database, nats.url, "stays"))
        ends = await stack.enter_async_context(open_node(postgres_database, nats.url, "ends", drain_per_second=20))
        await ends.furnish()
        for cart_id in range(2, CARTS + 1):
            await ends.add_cart(cart_id)
        stays.keys = ends.keys
        yield ends, stays


def end(node: Node) -> None:
    """What SIGTERM does."""
    node.server.should_exit = True


def open_carts(carts: dict[int, CartConnection]) -> set[int]:
    return {cart_id for cart_id, cart in carts.items() if cart.closed is None}


async def test_f26_readiness_ends_first_idle_carts_go_in_batches_and_screens_hear_to_the_last(
    pair: tuple[Node, Node], step: Step
) -> None:
    ends, stays = pair
    carts = {cart_id: await raw(ends, cart_id) for cart_id in range(1, CARTS + 1)}
    shopper = await ends.shopper()
    session_id = await ends.start(shopper, 1)
    await ends.settled()
    async with screen(ends, session_id, shopper) as listening:
        assert (await listening.hears())["type"] == "cart-updated"
        end(ends)
        await step.reached(1)
        await until(lambda: len(open_carts(carts)) == CARTS - 2)
        assert (await ends.http.get("/readyz")).status_code == 503
        assert (await ends.http.get("/healthz")).status_code == 200
        assert await refused(ends, "/ws/hardware/2", ends.cart_headers(2)) == (503, "2")
        back = await raw(stays, 2)  # it claims what this node closes
        step.go_on()
        await step.reached(2)
        await until(lambda: open_carts(carts) == {1})  # the one in use is the last
        async with screen(ends, session_id, shopper) as another:  # fielded ones give up after one refusal
            assert (await another.hears())["type"] == "cart-updated"
            assert (await ends.add(session_id)).status_code == 200
            assert (await another.hears())["type"] == (await listening.hears())["type"] == "cart-updated"
            step.go_on()
            await step.reached(3)
            await until(lambda: open_carts(carts) == set())
            assert step.seconds == [0.1, 0.1, 0.1]
            step.go_on()
            assert await listening.code() == await another.code() == 1012
        assert {cart.closed for cart in carts.values()} == {(1012, "the server restarts")}
        back.cut()


async def test_f30_a_cart_that_was_just_told_something_goes_when_its_receipt_is_written(
    pair: tuple[Node, Node], step: Step
) -> None:
    ends, stays = pair
    cart = await raw(ends, 1, answers=False)
    await ends.qr()
    await heard(cart, GENERATE_QR)
    end(ends)
    await step.reached(1)
    assert cart.closed is None
    cart.pong(cart.pings[-1])
    await until(lambda: _received(stays))
    step.go_on()
    await until(lambda: cart.closed)
    back = await raw(stays, 1)
    await step.reached(2)
    step.go_on()
    await until(lambda: not ends.inside.dispatch.links)
    assert back.texts == []
    back.cut()
    cart.cut()


async def _received(node: Node) -> bool:
    return await node.states() == ["received"]


async def test_who_asks_a_second_time_waits_for_no_batch(pair: tuple[Node, Node], step: Step) -> None:
    ends, _ = pair
    carts = {cart_id: await raw(ends, cart_id) for cart_id in range(1, CARTS + 1)}
    end(ends)
    await step.reached(1)
    ends.server.force_exit = True
    step.go_on()
    await until(lambda: open_carts(carts) == set())


async def test_the_last_node_keeps_nobody_waiting(pair: tuple[Node, Node], step: Step) -> None:
    """There is nobody to go to: all at once, and back at once when it is."""
    ends, stays = pair
    await heartbeat_of(stays).end()
    carts = {cart_id: await raw(ends, cart_id) for cart_id in range(1, CARTS + 1)}
    end(ends)
    await until(lambda: open_carts(carts) == set())
    assert step.seconds == []
