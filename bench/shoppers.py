"""Shoppers go through whole sessions, each with a cart on its real socket: QR, scan, one item, payment, paid, every
command received."""

import asyncio
import json
import time
from statistics import quantiles

from bench.lag import Lag
from bench.process import cpu_seconds
from bench.shop import Served, ask
from duckycart.testing.caller import Caller
from duckycart.testing.crowd import connect_all
from duckycart.testing.endpoint import Endpoint
from duckycart.testing.furnish import MILK

EIGHT = 8  # of them at once, where nothing else is said
WARM_UP = 5  # sessions of each
LONGEST = 30.0  # seconds until a command must be there


class Shoppers:
    """So many shoppers of one shop at once, spread over its servers; all its carts are connected."""

    def __init__(self, servers: list[Served], count: int, lag: Lag | None = None) -> None:
        self._servers = servers
        self.count = count
        self._lag = lag
        self.lags: list[float] = []  # seconds that turns of the server's loop came late, where that is watched
        self._heard: dict[int, asyncio.Queue[tuple[str, float]]] = {i: asyncio.Queue() for i in range(1, count + 1)}
        self.scan_to_cart: list[float] = []  # seconds from the scan's request to the frame at the cart

    async def __call__(self, sessions: int) -> tuple[float, float]:
        """(sessions per second, seconds of CPU of all servers per session) for about so many sessions."""
        ids = range(1, self.count + 1)
        crowd = []
        for number, server in enumerate(self._servers):
            keys = {i: key for i, key in server.shop.keys.items() if i % len(self._servers) == number}
            crowd += await connect_all(Endpoint(server.port), keys, 64, self._hear)
        await asyncio.gather(*(self._shop(cart_id, WARM_UP) for cart_id in ids))
        self.scan_to_cart.clear()
        if self._lag is not None:
            self._lag.forget()
        each = max(1, sessions // self.count)
        cpu, started = self._cpu(), time.perf_counter()
        await asyncio.gather(*(self._shop(cart_id, each) for cart_id in ids))
        seconds, cpu = time.perf_counter() - started, self._cpu() - cpu
        if self._lag is not None:
            self.lags = self._lag.read()
        for cart in crowd:
            cart.close()
        done = each * self.count
        return done / seconds, cpu / done

    def percentile(self, percent: int) -> float:
        """Milliseconds from scan to cart."""
        return quantiles(self.scan_to_cart, n=100)[percent - 1] * 1e3

    def _cpu(self) -> float:
        return sum(cpu_seconds(server.pid) for server in self._servers)

    def _hear(self, cart_id: int, frame: bytes) -> None:
        if cart_id in self._heard:
            self._heard[cart_id].put_nowait((json.loads(frame)["type"], time.perf_counter()))

    async def _expect(self, cart_id: int, wanted: str) -> float:
        got, at = await asyncio.wait_for(self._heard[cart_id].get(), LONGEST)
        if got != wanted:
            raise SystemExit(f"cart {cart_id} heard {got} instead of {wanted}")
        return at

    async def _shop(self, cart_id: int, sessions: int) -> None:
        server = self._servers[cart_id % len(self._servers)]
        http = Caller(Endpoint(server.port), {})
        cart, shopper = {"X-API-Key": server.shop.keys[cart_id]}, server.shop.headers(cart_id)
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
        http.close()
