"""Whole sessions per second: `python -m bench.sessions [SESSIONS]`.

Eight shoppers at once, each with a cart on its real socket: QR, scan, one item, payment, paid, every command received.
The reference is the same number of durable transactions in plain sqlite3 on the same disk: five a session, four
statements each, one commit each, nobody else at work.
"""

import asyncio
import json
import sqlite3
import sys
import time
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory

from bench.process import cpu_seconds, free_port, running
from bench.shop import ask, furnish
from duckycart.testing.caller import Caller
from duckycart.testing.crowd import connect_all
from duckycart.testing.endpoint import Endpoint
from duckycart.testing.furnish import MILK

SHOPPERS = 8
IDLE_CARTS = 2000
BOUND = 20_000
TRANSITIONS = 5  # of a session that are durable writes asked for over HTTP


class Shoppers:
    def __init__(self, port: int, keys: dict[int, str], tokens: dict[int, str]) -> None:
        self._port = port
        self._keys = keys
        self._tokens = tokens
        self._heard: dict[int, asyncio.Queue[tuple[str, float]]] = {i: asyncio.Queue() for i in range(1, SHOPPERS + 1)}
        self.scan_to_cart: list[float] = []  # seconds from the scan's request to the frame at the cart

    def heard(self, cart_id: int, frame: bytes) -> None:
        if cart_id in self._heard:
            self._heard[cart_id].put_nowait((json.loads(frame)["type"], time.perf_counter()))

    async def _expect(self, cart_id: int, wanted: str) -> float:
        got, at = await asyncio.wait_for(self._heard[cart_id].get(), 30)
        if got != wanted:
            raise SystemExit(f"cart {cart_id} heard {got} instead of {wanted}")
        return at

    async def shop(self, cart_id: int, sessions: int) -> None:
        http = Caller(Endpoint(self._port), {})
        cart = {"X-API-Key": self._keys[cart_id]}
        shopper = {"Authorization": f"Bearer {self._tokens[cart_id]}"}
        for _ in range(sessions):
            token = await ask(http, "GET", f"/customer-session/qr/{cart_id}", cart)
            await self._expect(cart_id, "generate_qr")
            scanned = time.perf_counter()
            session = await ask(http, "POST", "/customer-session/scan-qr", shopper, {"token": token})
            self.scan_to_cart.append(await self._expect(cart_id, "session_started") - scanned)
            item = {"sessionID": session["session_id"], "barcode": MILK}
            await ask(http, "POST", "/cart-items/add", cart, item)
            payment = await ask(http, "POST", f"/payment/create-payment/{session['session_id']}", shopper, {})
            await self._expect(cart_id, "payment_created")
            path = payment["payment_url"].partition("/pay/")[2]
            await ask(http, "POST", f"/pay/{path}/pay", shopper)
            await self._expect(cart_id, "end_session")


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


async def measure(port: int, pid: int, keys: dict[int, str], tokens: dict[int, str], sessions: int) -> None:
    shoppers = Shoppers(port, keys, tokens)
    crowd = await connect_all(Endpoint(port), keys, 64, shoppers.heard)
    await asyncio.gather(*(shoppers.shop(cart_id, 5) for cart_id in range(1, SHOPPERS + 1)))  # warm up
    shoppers.scan_to_cart.clear()
    each = max(1, sessions // SHOPPERS)
    cpu, started = cpu_seconds(pid), time.perf_counter()
    await asyncio.gather(*(shoppers.shop(cart_id, each) for cart_id in range(1, SHOPPERS + 1)))
    seconds, cpu = time.perf_counter() - started, cpu_seconds(pid) - cpu
    done = each * SHOPPERS
    cuts = quantiles(shoppers.scan_to_cart, n=100)
    print(f"{done} sessions, {SHOPPERS} at once, {len(keys)} carts connected")
    print(f"{'sessions per second':36}{done / seconds:10.0f}")
    print(f"{'CPU per session, ms':36}{cpu / done * 1e3:10.2f}")
    print(f"{'scan to cart, ms, p50':36}{cuts[49] * 1e3:10.2f}")
    print(f"{'scan to cart, ms, p99':36}{cuts[98] * 1e3:10.2f}")
    with TemporaryDirectory() as folder:
        reference = plain_sqlite(Path(folder) / "plain.db", done * TRANSITIONS)
    print(f"{'time against plain sqlite3, ratio':36}{seconds / reference:10.2f}")
    for cart in crowd:
        cart.close()


def main() -> None:
    sessions = min(int(sys.argv[1]) if len(sys.argv) > 1 else 2000, BOUND)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "bench.db"
        furnished = furnish(path, IDLE_CARTS)
        port = free_port()
        limits = {"DUCKYCART_SCANS_PER_MINUTE": "1000000", "DUCKYCART_ADDRESS_PER_MINUTE": "1000000"}
        environment = {"DUCKYCART_DATABASE": f"sqlite:///{path}", **limits}
        with running(["-m", "duckycart", "serve", "--port", str(port)], port, **environment) as pid:
            asyncio.run(measure(port, pid, furnished.keys, furnished.shoppers, sessions))


if __name__ == "__main__":
    main()
