"""A busy shop in front of real server processes: carts and shoppers that go on whatever happens to the servers.

Carts connect to any node, are back at once after a close, and note what they hear. Shoppers ask any node, and ask
again until they have an answer: every call may be repeated.
"""

import asyncio
import random
from collections.abc import Iterator
from itertools import groupby
from secrets import token_hex
from typing import Any
from urllib.parse import urlsplit

import httpx2
import psycopg
from sqlalchemy import make_url

from duckycart.testing.cart import Command, PoliteCart
from duckycart.testing.furnish import MILK, furnish, key_of
from duckycart.testing.waiting import PATIENCE, until
from tests.process.world import Served


class BusyShop:
    """Carts and shoppers of one database."""

    def __init__(self, nodes: list[Served], database: str, size: int) -> None:
        furnished = furnish(database, size)
        self.shoppers = {cart_id: furnished.headers(cart_id) for cart_id in furnished.keys}
        endpoints = [node.endpoint for node in nodes]
        self.carts = [PoliteCart(endpoints, cart_id, key_of(cart_id)) for cart_id in self.shoppers]
        self._running = [asyncio.create_task(cart.run()) for cart in self.carts]
        self.paid = 0
        self._nodes = nodes
        self._database = make_url(database).set(drivername="postgresql").render_as_string(hide_password=False)
        self._http = httpx2.AsyncClient(timeout=PATIENCE, trust_env=False)

    async def close(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._http.aclose()

    async def shop(self, sessions: int) -> None:
        """Every cart connects, then goes through so many sessions, all at the same time."""
        await self._all_connected()
        await asyncio.gather(*(self._shop_with(cart, sessions) for cart in self.carts))

    async def _shop_with(self, cart: PoliteCart, sessions: int) -> None:
        key, shopper = {"X-API-Key": key_of(cart.id)}, self.shoppers[cart.id]
        for _ in range(sessions):
            token = (await self._ask("GET", f"/customer-session/qr/{cart.id}", headers=key)).json()
            scan = await self._ask("POST", "/customer-session/scan-qr", json={"token": token}, headers=shopper)
            session = scan.json()["session_id"]
            await cart.hears("session_started", session)  # before that it knows of no session
            body = {"sessionID": session, "barcode": MILK}
            once = {**key, "Idempotency-Key": token_hex(8)}
            await self._ask("POST", "/cart-items/add", json=body, headers=once)
            payment = await self._ask("POST", f"/payment/create-payment/{session}", headers=shopper)
            await self._ask("POST", f"{urlsplit(payment.json()['payment_url']).path}/pay")
            await self._over(session, shopper)
            self.paid += 1

    async def _over(self, session: int, shopper: dict[str, str]) -> None:
        """The button's answer may be lost, or come of a webhook that was handled before."""

        async def over() -> bool:
            answer = await self._ask("GET", f"/customer-session/{session}", headers=shopper)
            return answer.json()["is_active"] is False

        await until(over)

    async def _ask(self, method: str, path: str, **request: Any) -> httpx2.Response:
        """Of one node after the other, until there is a good answer."""
        async with asyncio.timeout(2 * PATIENCE):
            while True:
                node = random.choice(self._nodes)  # a balancer
                try:
                    answer = await self._http.request(method, node.url + path, **request)
                except httpx2.TransportError:
                    await asyncio.sleep(0.02)
                    continue
                if answer.status_code in (200, 303):
                    return answer
                assert answer.status_code == 503, answer.text
                await asyncio.sleep(0.02)

    # The verdict

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self._database) as connection:
            return connection.execute(sql.encode()).fetchall()

    async def settled(self) -> None:
        """Until no command is on its way any more and every cart is connected."""
        await until(lambda: self.rows("SELECT count(*) FROM commands WHERE state IN ('queued', 'sent')") == [(0,)])
        await self._all_connected()
        await until(
            lambda: not self._received() - {(cart.id, *command) for cart in self.carts for command in cart.commands}
        )

    def _received(self) -> set[tuple[Any, ...]]:
        return set(self.rows("SELECT cart_id, type, session_id FROM commands WHERE state = 'received'"))

    async def _all_connected(self) -> None:
        await until(lambda: self.rows("SELECT count(*) FROM carts WHERE link_node IS NULL") == [(0,)])

    def judge(self, *, repeats: bool) -> None:
        """No command lost, none out of order, one session per cart; nothing said twice, but where `repeats` says that
        receipts were lost: then what was not confirmed is said again, on another connection."""
        assert self.rows("SELECT DISTINCT status FROM carts") == [("available",)]
        assert self.rows("SELECT DISTINCT end_reason FROM sessions") == [("paid",)]
        assert self.rows("SELECT session_id FROM payments WHERE state = 'paid' GROUP BY 1 HAVING count(*) > 1") == []
        assert self.rows("SELECT count(*) FROM payments WHERE state = 'paid'") == [(self.paid,)]
        assert self.rows("SELECT count(*) FROM alarms") == [(0,)]
        assert self.rows("SELECT cart_id FROM commands GROUP BY 1 HAVING max(seq) <> count(*)") == []
        for cart in self.carts:
            rows = self.rows(
                f"SELECT type, session_id, state FROM commands WHERE cart_id = {cart.id}"
                " AND session_id IS NOT NULL ORDER BY seq"
            )
            told = [command for command in cart.commands if command[1] is not None]
            # What was read, but its receipt lost and then judged void, is the one thing told and not received.
            expected = [
                (kind, session) for kind, session, state in rows if state == "received" or (kind, session) in told
            ]
            assert list(_without_repeats(told)) == expected, (cart.id, cart.connections, rows)
            if not repeats:
                assert told == expected
            for connection in cart.connections:
                of_sessions = [command for command in connection if command[1] is not None]
                assert len(of_sessions) == len(set(of_sessions)), "one connection is told nothing twice"


def _without_repeats(told: list[Command]) -> Iterator[Command]:
    """Catch-up may say again what the present needs, in its order: what a cart compares with its state."""
    seen: set[Command] = set()
    for command, _ in groupby(told):
        if command not in seen:
            seen.add(command)
            yield command
