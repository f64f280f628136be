"""Carts that come back all at once

Every one of 10,000 carts has a command waiting and connects in the same moment, as after a power cut of a store; who is
refused comes again at once, as carts in the field do. Meanwhile one shopper scans again and again; the reference for
those scans is the same shopper before the storm. The carts have a process of their own. How late the turns of the
server's event loop come is measured within the server.
"""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import quantiles

from sqlalchemy import URL, insert, update

from bench.figures import Figure, Target
from bench.lag import Lag, watched
from bench.process import cpu_seconds
from bench.shop import Served, ask, furnish, postgres, sqlite_file
from duckycart.clock import SystemClock
from duckycart.server import raise_file_limit
from duckycart.store.database import engine_for, transact
from duckycart.store.tables import carts, commands
from duckycart.store.transaction import Transaction
from duckycart.testing.caller import Caller
from duckycart.testing.crowd import CrowdCart, connect_all
from duckycart.testing.endpoint import Endpoint

SHOPPER = 1  # and the number of the shopper's cart, which stays connected
QUIET_SCANS = 300
CERTAIN_SECONDS = 120.0  # for every cart to be caught up


def give_each_a_command(tx: Transaction, ids: list[int]) -> None:
    """A QR that is valid for an hour and that no cart has shown yet."""
    tx.connection.execute(update(carts).values(last_seq=1, qr_expires_at=tx.now + 3_600_000))
    tx.connection.execute(
        insert(commands),
        [
            {"cart_id": cart_id, "seq": 1, "type": "generate_qr", "attempted": False, "boot_generation": 0}
            | {"queued_at": tx.now}
            for cart_id in ids
        ],
    )


class Storm:
    """All carts of one process of their own, so that their work does not slow the shopper's clock down."""

    def __init__(self, port: int, keys: dict[int, str]) -> None:
        self._port = port
        self._keys = keys
        self._caught_up: dict[int, asyncio.Event] = {cart_id: asyncio.Event() for cart_id in keys}
        self._carts: list[CrowdCart] = []

    async def __call__(self) -> float:
        """Seconds until the last cart heard its command."""
        started = time.perf_counter()
        async with asyncio.timeout(CERTAIN_SECONDS):
            await asyncio.gather(*(self._come_back(cart_id) for cart_id in self._keys))
        return time.perf_counter() - started

    async def _come_back(self, cart_id: int) -> None:
        while True:
            try:
                cart = await CrowdCart.connect(Endpoint(self._port), cart_id, self._keys[cart_id], self._heard)
            except OSError:
                continue
            self._carts.append(cart)
            await self._caught_up[cart_id].wait()
            return

    def _heard(self, cart_id: int, frame: bytes) -> None:
        self._caught_up[cart_id].set()


carts_loop = asyncio.Runner()  # of the carts' process; between two calls its connections stay open


def come_back(port: int, keys: dict[int, str]) -> float:
    """In the carts' process."""
    raise_file_limit()
    return carts_loop.run(Storm(port, keys)())


def leave() -> None:
    """In the carts' process: all at once."""
    carts_loop.close()


class Shopper:
    def __init__(self, http: Caller, key: str, token: str) -> None:
        self._http = http
        self._cart = {"X-API-Key": key}
        self._shopper = {"Authorization": f"Bearer {token}"}

    async def scan(self) -> float:
        """Seconds from the scan to its answer; the session is ended again."""
        token = await ask(self._http, "GET", f"/customer-session/qr/{SHOPPER}", self._cart)
        started = time.perf_counter()
        session = await ask(self._http, "POST", "/customer-session/scan-qr", self._shopper, {"token": token})
        seconds = time.perf_counter() - started
        await ask(self._http, "POST", f"/customer-session/{session['session_id']}/end", self._shopper, {})
        return seconds


@dataclass(frozen=True, slots=True)
class Measured:
    seconds: float  # until the last cart heard its command
    cpu: float  # seconds for each cart, the shopper's work too
    before: list[float]  # seconds of each scan
    during: list[float]
    lags: list[float]  # seconds that a turn of the loop came late in the storm


async def measure_one(server: Served, lag: Lag, pool: ProcessPoolExecutor) -> Measured:
    port, keys = server.port, server.shop.keys
    own = await connect_all(Endpoint(port), {SHOPPER: keys[SHOPPER]}, 1)
    others = {cart_id: key for cart_id, key in keys.items() if cart_id != SHOPPER}
    shopper = Shopper(Caller(Endpoint(port), {}), keys[SHOPPER], server.shop.shoppers[SHOPPER])
    await asyncio.get_running_loop().run_in_executor(pool, raise_file_limit)  # its process is started and has imported
    for _ in range(20):
        await shopper.scan()  # warm up
    quiet = [await shopper.scan() for _ in range(QUIET_SCANS)]
    lag.forget()
    cpu = cpu_seconds(server.pid)
    raging = asyncio.get_running_loop().run_in_executor(pool, come_back, port, others)
    during: list[float] = []
    while not raging.done() or len(during) < 2:
        during.append(await shopper.scan())
    seconds = await raging
    cpu = (cpu_seconds(server.pid) - cpu) / len(others)
    lags = lag.read()
    await asyncio.get_running_loop().run_in_executor(pool, leave)
    for cart in own:
        cart.close()
    return Measured(seconds, cpu, quiet, during, lags)


def storm_on(place: Path | URL, count: int) -> Measured:
    shop = furnish(place, count + 1)
    engine = engine_for(place)
    transact(engine, SystemClock(), lambda tx: give_each_a_command(tx, list(shop.keys)))
    engine.dispose()
    with watched(place, shop) as (server, lag), ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return asyncio.run(measure_one(server, lag, pool))


def measure(quick: bool) -> Iterator[Figure]:
    count = 500 if quick else 10_000
    with sqlite_file() as path:
        yield from figures("SQLite", storm_on(path, count), 5)
    with postgres() as url:
        if url is not None:
            yield from figures("PostgreSQL", storm_on(url, count), 8)


def figures(store: str, found: Measured, seconds: float) -> Iterator[Figure]:
    before, during = (quantiles(scans, n=100) for scans in (found.before, found.during))
    yield Figure(f"{store}: all are caught up after", found.seconds, "s", target=Target(seconds))
    yield Figure(f"{store}: CPU per cart", found.cpu * 1e6, "µs")
    yield Figure(f"{store}: a scan meanwhile, p50", during[49] * 1e3, "ms", "before", before[49] * 1e3)
    yield Figure(f"{store}: a scan meanwhile, p99", during[98] * 1e3, "ms", "before", before[98] * 1e3, Target(50))
    yield Figure(f"{store}: loop lag, worst", max(found.lags) * 1e3, "ms", target=Target(20))
