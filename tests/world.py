"""A shop for the tests: the real server on a real port, with a clock that only the test moves.

Nothing is mocked between the socket and the database. Timers do not run by themselves: a test that wants a tick, a
sweep or a round of housekeeping asks for it.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, nullcontext
from types import ModuleType
from typing import Any
from unittest import mock

import httpx2
from sqlalchemy import select
from websockets.asyncio.client import ClientConnection, connect

from duckycart import server
from duckycart.app import ProviderFactory, build_app, sandbox
from duckycart.keys import hash_of
from duckycart.settings import Settings
from duckycart.shop import Shop as Inside
from duckycart.store.currency import fix_currency
from duckycart.store.database import open_database
from duckycart.store.tables import alarms, carts, commands, payments, sessions
from duckycart.store.transaction import Transaction
from duckycart.testing.clock import ManualClock
from duckycart.testing.endpoint import Endpoint
from duckycart.testing.furnish import BREAD, MILK, TEA, add_carts, add_product, add_user, key_of
from duckycart.testing.waiting import PATIENCE, until
from duckycart.tokens import AccessToken


class _Hurried(ModuleType):
    """asyncio, for uvicorn's server: its shutdown sleeps a tenth of a second, in each of thousands of tests."""

    sleep = staticmethod(lambda seconds: asyncio.sleep(seconds / 50))

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)


class Server(server.Server):
    """Leaves the test runner's signal handlers alone."""

    capture_signals = nullcontext  # type: ignore[assignment]

    async def main_loop(self) -> None:
        """Like uvicorn's, which looks only ten times a second whether it should stop."""
        await self.on_tick(0)
        while not self.should_exit:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.005)


class Shop:
    """A running server, from the outside (HTTP, sockets) and, to look and to furnish, from the inside."""

    def __init__(self, app: Any, inside: Inside, clock: ManualClock, port: int, server: Server) -> None:
        self.app = app
        self.inside = inside
        self.clock = clock
        self.port = port
        self.server = server
        self.endpoint = Endpoint(port)
        self.url = f"http://127.0.0.1:{port}"
        self.http = httpx2.AsyncClient(base_url=self.url, timeout=PATIENCE, trust_env=False, verify=False)
        self.keys: dict[int, str] = {}

    async def sweep(self) -> None:
        await self.inside.sweep()

    async def housekeeping(self) -> None:
        await self.inside.housekeeping()

    def tick(self) -> None:
        self.inside.connector.tick()

    # Furniture

    async def furnish(self) -> None:
        await self.add_cart(1)
        await self.add_product(MILK, "Milk", 1250, weight=1000)
        await self.add_product(BREAD, "Bread", 500, weight=400)
        await self.add_product(TEA, "Tea", 9995)

    async def add_cart(self, cart_id: int, key: str | None = None) -> str:
        key = key or key_of(cart_id)
        self.keys[cart_id] = key
        key_hash = hash_of(key)
        await self.inside.store.write(lambda tx: add_carts(tx, [cart_id], key_hash=key_hash))
        return key

    async def add_product(self, barcode: int, name: str, price: int, weight: int | None = None) -> None:
        def add(tx: Transaction) -> None:
            fix_currency(tx, self.inside.settings.wanted_currency)
            add_product(tx, barcode, name, price, weight)

        await self.inside.store.write(add)

    async def add_user(self, email: str, *, operator: bool = False) -> int:
        return await self.inside.store.write(lambda tx: add_user(tx, email, is_operator=operator))

    async def shopper(self, email: str = "mona@example.com", *, operator: bool = False) -> dict[str, str]:
        """Headers of a new account that is signed in."""
        user_id = await self.add_user(email, operator=operator)
        return {"Authorization": f"Bearer {self.inside.tokens.access(AccessToken(user_id, operator))}"}

    # What a cart, a screen and a phone do

    def cart_headers(self, cart_id: int = 1) -> dict[str, str]:
        return {"X-API-Key": self.keys[cart_id]}

    @asynccontextmanager
    async def cart(self, cart_id: int = 1, **headers: str) -> AsyncIterator[ClientConnection]:
        """A cart's connection, with the library that fielded carts use; it answers pings by itself."""
        async with connect(
            f"ws://127.0.0.1:{self.port}/ws/hardware/{cart_id}",
            additional_headers={**self.cart_headers(cart_id), **headers},
            ping_interval=None,
            compression=None,
            proxy=None,
            close_timeout=1,
        ) as connection:
            yield connection

    async def qr(self, cart_id: int = 1) -> str:
        answer = await self.http.get(f"/customer-session/qr/{cart_id}", headers=self.cart_headers(cart_id))
        assert answer.status_code == 200, answer.text
        token = answer.json()
        assert isinstance(token, str)
        return token

    async def scan(self, token: str, shopper: dict[str, str], **headers: str) -> httpx2.Response:
        return await self.http.post("/customer-session/scan-qr", json={"token": token}, headers={**shopper, **headers})

    async def start(self, shopper: dict[str, str], cart_id: int = 1) -> int:
        """QR and scan; returns the session's id."""
        answer = await self.scan(await self.qr(cart_id), shopper)
        assert answer.status_code == 200, answer.text
        return int(answer.json()["session_id"])

    async def add(self, session_id: int, barcode: int = MILK, cart_id: int = 1, **body: Any) -> httpx2.Response:
        return await self.http.post(
            "/cart-items/add",
            json={"sessionID": session_id, "barcode": barcode, **body},
            headers=self.cart_headers(cart_id),
        )

    async def remove(self, session_id: int, barcode: int = MILK, cart_id: int = 1) -> httpx2.Response:
        return await self.http.request(
            "DELETE",
            "/cart-items/remove",
            json={"sessionID": session_id, "barcode": barcode},
            headers=self.cart_headers(cart_id),
        )

    async def create_payment(self, session_id: int, shopper: dict[str, str]) -> httpx2.Response:
        return await self.http.post(f"/payment/create-payment/{session_id}", headers=shopper)

    async def press(self, payment_url: str, button: str = "pay") -> httpx2.Response:
        """The button on the sandbox's page."""
        return await self.http.post(f"{payment_url}/{button}")

    # What the database says

    async def rows(self, statement: Any) -> list[Any]:
        return await self.inside.store.read(lambda connection: list(connection.execute(statement).all()))

    async def commands(self, cart_id: int = 1) -> list[tuple[int, str, int | None, str]]:
        """(seq, type, session, state), in order."""
        columns = commands.c.seq, commands.c.type, commands.c.session_id, commands.c.state
        rows = await self.rows(select(*columns).where(commands.c.cart_id == cart_id).order_by(commands.c.seq))
        return [tuple(row) for row in rows]

    async def states(self, cart_id: int = 1) -> list[str]:
        return [state for *_, state in await self.commands(cart_id)]

    async def settled(self, cart_id: int = 1) -> list[str]:
        """The states once no command of the cart is on its way any more."""
        (states,) = await until(lambda: self._no_more_on_the_way(cart_id))
        return states  # type: ignore[no-any-return]

    async def _no_more_on_the_way(self, cart_id: int) -> tuple[list[str]] | None:
        states = await self.states(cart_id)
        return None if {"queued", "sent"} & set(states) else (states,)

    async def cart_row(self, cart_id: int = 1) -> Any:
        return (await self.rows(select(carts).where(carts.c.id == cart_id)))[0]

    async def session_row(self, session_id: int) -> Any:
        return (await self.rows(select(sessions).where(sessions.c.id == session_id)))[0]

    async def payment_rows(self, session_id: int) -> list[Any]:
        return await self.rows(select(payments).where(payments.c.session_id == session_id).order_by(payments.c.id))

    async def alarm_kinds(self) -> list[str]:
        return [row.kind for row in await self.rows(select(alarms).order_by(alarms.c.id))]

    async def online(self, cart_id: int = 1) -> None:
        """Until the database says that the cart is connected."""
        await until(lambda: self._has_node(cart_id, True))

    async def offline(self, cart_id: int = 1) -> None:
        await until(lambda: self._has_node(cart_id, False))

    async def _has_node(self, cart_id: int, wanted: bool) -> bool:
        return ((await self.cart_row(cart_id)).link_node is not None) == wanted


@contextmanager
def no_timers() -> Iterator[None]:
    async def never(seconds: float, name: str, work: object) -> None:
        await asyncio.get_running_loop().create_future()

    with ExitStack() as stack:
        stack.enter_context(mock.patch("duckycart.app.every", never))
        stack.enter_context(mock.patch("uvicorn.server.asyncio", _Hurried("asyncio")))
        # What is said first is said in the loop's next turn. Its moment in earnest is test_first_frame's.
        for opening in ("hardware.socket", "channels.socket", "channels.stream"):
            stack.enter_context(mock.patch(f"duckycart.{opening}.FIRST_FRAME_SECONDS", 0.0))
        yield


@asynccontextmanager
async def open_shop(
    database: str, *, provider: ProviderFactory = sandbox, clock: ManualClock | None = None, **settings: Any
) -> AsyncIterator[Shop]:
    """Start a server on a free port and stop it at the end."""
    clock = clock or ManualClock()
    listener = server.listener(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    configured = Settings(port=port, database=database, **settings)
    with no_timers():
        app = build_app(configured, open_database(database, alone=not configured.bus), clock, provider)
        running = Server(server.make_server(app, configured, loop="none").config)
        serving = asyncio.create_task(running.serve([listener]))
        await until(lambda: running.started or serving.done())
        if serving.done():
            await serving
        shop = Shop(app, running.lifespan.state["shop"], clock, port, running)
        try:
            yield shop
        finally:
            await shop.http.aclose()
            running.should_exit = True
            async with asyncio.timeout(PATIENCE):
                await serving
