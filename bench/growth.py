"""How cost grows with what a shop has seen

The cost of a session, by CPU of the server, with so many past sessions in the SQLite file, each with its commands, its
payment and its line; the reference is an empty one, whose server is asked in turns. And what it costs to add an item to
a basket of 400 lines, by time of the whole call, beside one of five.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import mean, median

from sqlalchemy import insert

from bench.figures import Figure, Target
from bench.shop import Served, ask, furnish, serving, sqlite_file
from bench.shoppers import EIGHT, Shoppers
from duckycart.clock import SystemClock
from duckycart.store.database import engine_for, transact
from duckycart.store.sqlite import driver_of
from duckycart.store.tables import products
from duckycart.store.transaction import Transaction
from duckycart.testing.caller import Caller
from duckycart.testing.crowd import connect_all
from duckycart.testing.endpoint import Endpoint

CARTS = 200
FIRST = 7_000_000_000_000  # barcodes
FEW, MANY = 5, 400  # lines

PAST = Path(__file__).with_name("past_sessions.sql")


def measure(quick: bool) -> Iterator[Figure]:
    sessions, rounds = (80, 1) if quick else (800, 3)
    for count in (1000,) if quick else (10_000, 1_000_000):
        with ExitStack() as stack:
            empty = shop_with(stack, 0)
            full = shop_with(stack, count)
            costs: list[list[float]] = [[], []]
            for _ in range(rounds):
                for server, cost in zip((empty, full), costs, strict=True):
                    cost.append(asyncio.run(Shoppers([server], EIGHT)(sessions))[1] * 1e3)
            target = Target(1.1, ratio=True) if count == 1_000_000 else None
            name = f"CPU per session, {count:,} past sessions"
            yield Figure(name, mean(costs[1]), "ms", "none", mean(costs[0]), target)
    with ExitStack() as stack:
        few, many = asyncio.run(adding(shop_with(stack, 0)))
    yield Figure(
        f"an item into {MANY} lines", many * 1e3, "ms", f"into {FEW} lines", few * 1e3, Target(1.2, ratio=True)
    )


def shop_with(stack: ExitStack, past: int) -> Served:
    path = stack.enter_context(sqlite_file())
    shop = furnish(path, CARTS)

    def fill(tx: Transaction) -> None:
        tx.connection.execute(
            insert(products),
            [
                {"barcode": str(FIRST + n), "barcode_number": str(FIRST + n), "unit_price": 100}
                | {"description": f"Product {n}", "description_ar": "", "product_size": ""}
                for n in range(2 * MANY)
            ],
        )
        if past:
            given = {"count": past, "carts": CARTS, "now": tx.now - 3_600_000}
            for statement in PAST.read_text().split(";\n"):
                driver_of(tx.connection).execute(statement, given)

    engine = engine_for(path)
    transact(engine, SystemClock(), fill)
    engine.dispose()
    return stack.enter_context(serving(path, shop))


async def adding(server: Served) -> tuple[float, float]:
    """Seconds of the call that adds a new line to a basket of FEW, and of MANY."""
    crowd = await connect_all(Endpoint(server.port), dict(list(server.shop.keys.items())[:2]), 2)
    http = Caller(Endpoint(server.port), {})
    baskets = [await Basket.open(http, server, cart_id) for cart_id in (1, 2)]
    for basket, lines in zip(baskets, (FEW, MANY), strict=True):
        for number in range(lines):
            await basket.add(number)
    taken: list[list[float]] = [[], []]
    for _ in range(100):
        for basket, seconds, lines in zip(baskets, taken, (FEW, MANY), strict=True):
            started = time.perf_counter()
            await basket.add(lines)
            seconds.append(time.perf_counter() - started)
            await basket.remove(lines)
    for cart in crowd:
        cart.close()
    return median(taken[0]), median(taken[1])


class Basket:
    def __init__(self, http: Caller, key: str, session_id: int) -> None:
        self._http = http
        self._cart = {"X-API-Key": key}
        self._session_id = session_id

    @classmethod
    async def open(cls, http: Caller, server: Served, cart_id: int) -> "Basket":
        key = server.shop.keys[cart_id]
        token = await ask(http, "GET", f"/customer-session/qr/{cart_id}", {"X-API-Key": key})
        scan = await ask(http, "POST", "/customer-session/scan-qr", server.shop.headers(cart_id), {"token": token})
        return cls(http, key, scan["session_id"])

    async def add(self, number: int) -> None:
        await ask(self._http, "POST", "/cart-items/add", self._cart, self._item(number))

    async def remove(self, number: int) -> None:
        await ask(self._http, "DELETE", "/cart-items/remove", self._cart, self._item(number))

    def _item(self, number: int) -> dict[str, object]:
        return {"sessionID": self._session_id, "barcode": FIRST + number}
