"""Whole sessions on SQLite

Shoppers go through whole sessions at once: QR, scan, one item, payment, paid; each cart hears every command on its
real socket, and 2,000 carts are connected. Durability, receipts and all checks are on.

The work per session is compared with that of an earlier commit of this repository, whose server runs on a database of
its own at the same time and is asked in turns with this one; and with the same number of durable transactions in plain
sqlite3 on the same disk: five a session, four statements each, one commit each, nobody else at work. How late the turns
of the server's event loop come is measured within the server, in a run of its own.
"""

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import mean, quantiles

from bench.earlier import COMMIT, earlier
from bench.figures import Figure, Target
from bench.lag import watched
from bench.shop import furnish, serving, sqlite_file
from bench.shoppers import EIGHT, Shoppers

CROWDS = (1, 64)  # how many shop at once, beside EIGHT
CARTS = 2000
TRANSITIONS = 5  # of a session that are durable writes asked for over HTTP


def measure(quick: bool) -> Iterator[Figure]:
    sessions, rounds = (160, 1) if quick else (1600, 3)
    with ExitStack() as stack:
        path = stack.enter_context(sqlite_file())
        ours = stack.enter_context(serving(path, furnish(path, CARTS)))
        before = stack.enter_context(earlier(CARTS))
        rates, costs, then, waits = [], [], [], []
        for _ in range(rounds):
            shoppers = Shoppers([ours], EIGHT)
            rate, cost = asyncio.run(shoppers(sessions))
            rates.append(rate)
            costs.append(cost * 1e3)
            waits.append([shoppers.percentile(50), shoppers.percentile(99)])
            if before is not None:
                then.append(asyncio.run(Shoppers([before], EIGHT)(sessions))[1] * 1e3)
        name = f"commit {COMMIT}"
        yield Figure("CPU per session", mean(costs), "ms", name, mean(then) if then else None, Target(0.40, ratio=True))
        yield Figure("sessions", mean(rates), "/s", target=Target(300, at_least=True))
        yield Figure("scan to cart, p50", mean(wait[0] for wait in waits), "ms", target=Target(4))
        yield Figure("scan to cart, p99", mean(wait[1] for wait in waits), "ms", target=Target(10))
        plain = plain_sqlite(path.with_name("plain.db"), sessions * TRANSITIONS) / sessions * 1e3
        yield Figure("time per session", 1e3 / mean(rates), "ms", "plain sqlite3", plain)
        for count in CROWDS:
            cost = asyncio.run(Shoppers([ours], count)(sessions // (8 if count == 1 else 1)))[1] * 1e3
            target = Target(1.0, ratio=True) if count > EIGHT else None
            yield Figure(f"CPU per session, {count} at once", cost, "ms", f"{EIGHT} at once", mean(costs), target)

    with sqlite_file() as path, watched(path, furnish(path, CARTS)) as (server, lag):
        shoppers = Shoppers([server], EIGHT, lag)
        asyncio.run(shoppers(sessions))
    yield Figure("loop lag, p99", quantiles(shoppers.lags, n=100)[98] * 1e3, "ms", target=Target(3))
    yield Figure("loop lag, worst", max(shoppers.lags) * 1e3, "ms", target=Target(15))


def plain_sqlite(path: Path, transactions: int) -> float:
    """Seconds for so many transactions of four statements, each committed by itself."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
        "CREATE TABLE cart(id INTEGER PRIMARY KEY, seq INT); CREATE TABLE command(cart INT, seq INT, type TEXT);"
        "INSERT INTO cart VALUES (1, 0);"
    )
    started = time.perf_counter()
    for number in range(transactions):
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE cart SET seq = seq + 1 WHERE id = 1")
        connection.execute("SELECT seq FROM cart WHERE id = 1").fetchone()
        connection.execute("INSERT INTO command VALUES (1, ?, 'generate_qr')", (number,))
        connection.execute("UPDATE cart SET seq = seq WHERE id = 1")
        connection.execute("COMMIT")
    seconds = time.perf_counter() - started
    connection.close()
    return seconds
