"""What one more node on a command's way costs

Two servers on one PostgreSQL, NATS between them, a cart on the first. Its QR is asked for at the first and at the
second in turn; the figure is the time from the request to the frame at the cart. The reference is the first.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack
from statistics import quantiles

from bench.figures import Figure, Target
from bench.shop import Served, ask, furnish, postgres, serving
from duckycart.testing.caller import Caller
from duckycart.testing.crowd import connect_all
from duckycart.testing.endpoint import Endpoint

CART = 1
WARM_UP = 50


class Ways:
    """Asks for the cart's QR at one node or the other, and waits for the frame."""

    def __init__(self, key: str) -> None:
        self._headers = {"X-API-Key": key}
        self._heard: asyncio.Queue[float] = asyncio.Queue()

    def heard(self, cart_id: int, frame: bytes) -> None:
        self._heard.put_nowait(time.perf_counter())

    async def take(self, http: Caller) -> float:
        """Seconds from the request to the frame."""
        started = time.perf_counter()
        answer = asyncio.create_task(ask(http, "GET", f"/customer-session/qr/{CART}", self._headers))
        at = await asyncio.wait_for(self._heard.get(), 30)
        await answer
        return at - started


def measure(quick: bool) -> Iterator[Figure]:
    from tests.nats import nats_server  # with a program from a wheel, as the database's

    with ExitStack() as stack:
        url = stack.enter_context(postgres())
        if url is None:
            return
        bus = stack.enter_context(nats_server()).url
        shop = furnish(url, 1)
        servers = [
            stack.enter_context(serving(url, shop, DUCKYCART_BUS=bus, DUCKYCART_NODE=name)) for name in ("a", "b")
        ]
        here, there = asyncio.run(ask_both(servers, 100 if quick else 1000))
    yield Figure("request to cart, at the other node, p50", there[49] * 1e3, "ms", "at the cart's node", here[49] * 1e3)
    yield Figure("request to cart, at the other node, p99", there[98] * 1e3, "ms", "at the cart's node", here[98] * 1e3)
    yield Figure("one more node, p50", (there[49] - here[49]) * 1e3, "ms", target=Target(0.7))


async def ask_both(servers: list[Served], count: int) -> tuple[list[float], list[float]]:
    """The percentiles of the seconds of so many QRs at each of the two nodes; the cart is at the first."""
    key = servers[0].shop.keys[CART]
    ways = Ways(key)
    (cart,) = await connect_all(Endpoint(servers[0].port), {CART: key}, 1, ways.heard)
    doors = [Caller(Endpoint(server.port), {}) for server in servers]
    seconds: tuple[list[float], list[float]] = ([], [])
    for number in range(WARM_UP + count):
        for taken, http in zip(seconds, doors, strict=True):
            took = await ways.take(http)
            if number >= WARM_UP:
                taken.append(took)
    cart.close()
    return quantiles(seconds[0], n=100), quantiles(seconds[1], n=100)
