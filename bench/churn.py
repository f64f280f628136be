"""Whether churn leaves anything behind

A thousand carts connect and are cut off, again and again. Memory after the first rounds is the reference for memory
after the last (fault F06).
"""

import asyncio
from collections.abc import Iterator

from bench.figures import Figure, Target
from bench.process import memory_kib
from bench.shop import Served, furnish, serving, sqlite_file
from duckycart.testing.crowd import connect_all
from duckycart.testing.endpoint import Endpoint

CARTS = 1000
WARM_UP = 4  # rounds


async def churn(server: Served, rounds: int) -> int:
    """KiB of the server after so many rounds, once it has seen everybody go."""
    for _ in range(rounds):
        for cart in await connect_all(Endpoint(server.port), server.shop.keys, 64):
            cart.close()
    await asyncio.sleep(2)
    return memory_kib(server.pid)


def measure(quick: bool) -> Iterator[Figure]:
    rounds = 2 if quick else 20
    with sqlite_file() as path, serving(path, furnish(path, CARTS), DUCKYCART_CONNECTS="1000000") as server:
        before = asyncio.run(churn(server, WARM_UP))
        after = asyncio.run(churn(server, rounds))
    name = f"memory after {rounds * CARTS:,} connects"
    yield Figure(name, after / 1024, "MiB", f"after {WARM_UP * CARTS:,}", before / 1024, Target(1.25, ratio=True))
