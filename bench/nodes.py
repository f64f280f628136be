"""What one more node on a command's way costs: `python -m bench.nodes [QRS]`.

Two servers on one PostgreSQL, NATS between them, a cart on the first. Its QR is asked for at the first and at the
second in turn; the figure is the time from the request to the frame at the cart. The reference is the first.
"""

import asyncio
import sys
import time
from contextlib import ExitStack
from statistics import quantiles

from tests.nats import nats_server
from tests.postgres import own_postgres

from bench.process import free_port, running
from bench.shop import ask, furnish
from duckycart.testing.caller import Caller
from duckycart.testing.crowd import connect_all
from duckycart.testing.endpoint import Endpoint

CART = 1
WARM_UP = 50
BOUND = 20_000


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


async def measure(ports: list[int], key: str, count: int) -> None:
    ways = Ways(key)
    (cart,) = await connect_all(Endpoint(ports[0]), {CART: key}, 1, ways.heard)
    doors = [Caller(Endpoint(port), {}) for port in ports]
    for _ in range(WARM_UP):
        for http in doors:
            await ways.take(http)
    seconds: list[list[float]] = [[], []]
    for _ in range(count):
        for taken, http in zip(seconds, doors, strict=True):
            taken.append(await ways.take(http))
    cart.close()
    (here_p50, here_p99), (there_p50, there_p99) = [
        (cuts[49] * 1e3, cuts[98] * 1e3) for cuts in (quantiles(taken, n=100) for taken in seconds)
    ]
    print(f"{count} QRs at each of two nodes, the cart at the first")
    print(f"{'request to cart, its node, ms, p50':36}{here_p50:10.2f}")
    print(f"{'request to cart, its node, ms, p99':36}{here_p99:10.2f}")
    print(f"{'request to cart, other node, ms, p50':36}{there_p50:10.2f}")
    print(f"{'request to cart, other node, ms, p99':36}{there_p99:10.2f}")
    print(f"{'one more node, ms, p50':36}{there_p50 - here_p50:10.2f}")
    print(f"{'one more node, p50, ratio':36}{there_p50 / here_p50:10.2f}")


def main() -> None:
    count = min(int(sys.argv[1]) if len(sys.argv) > 1 else 1000, BOUND)
    with ExitStack() as stack:
        nats = stack.enter_context(nats_server())
        url = stack.enter_context(stack.enter_context(own_postgres()).database())
        keys = furnish(url, 1).keys
        environment = {
            "DUCKYCART_DATABASE": url.render_as_string(hide_password=False),
            "DUCKYCART_BUS": nats.url,
        }
        ports = [free_port(), free_port()]
        for name, port in zip("ab", ports, strict=True):
            arguments = ["-m", "duckycart", "serve", "--port", str(port)]
            stack.enter_context(running(arguments, port, **environment, DUCKYCART_NODE=name))
        asyncio.run(measure(ports, keys[CART], count))


if __name__ == "__main__":
    main()
