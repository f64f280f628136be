"""A server in a process of its own, from the outside; its database, read beside it."""

import json
import multiprocessing
import os
import signal
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx2

from duckycart.clock import SystemClock
from duckycart.providers.sandbox import Sandbox
from duckycart.server import listener
from duckycart.testing.cart import CartConnection
from duckycart.testing.endpoint import Endpoint
from duckycart.testing.furnish import furnish, key_of
from duckycart.testing.waiting import PATIENCE, until
from tests.ports import free_port
from tests.process import killable

KEY = key_of(1)

# Processes fork from one that has imported everything: a start costs a tenth of a second instead of a whole one.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["tests.process.killable", "duckycart.app", "duckycart.server"])


class Served:
    """`duckycart serve` on a database and a port of its own, started as often as the test wants."""

    def __init__(self, folder: Path) -> None:
        self.database = folder / "shop.db"
        self.log = folder / "server.log"
        self.armed = folder / "armed"
        self.port = free_port()
        self.endpoint = Endpoint(self.port)
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = httpx2.AsyncClient(base_url=self.url, timeout=PATIENCE, trust_env=False)
        self.process: Any = None
        self.held: socket.socket | None = None  # the listening socket, where this outlives the processes

    def hold(self) -> None:
        """Open the socket that every process is handed from now on, as systemd does."""
        self.held = listener(("127.0.0.1", self.port))

    def run(self, *arguments: str, place: str | None = None, folder: Path | None = None, **environment: str) -> None:
        """Start the process, in `folder`, and leave it to itself."""
        self.armed.unlink(missing_ok=True)
        handed = [self.held] if self.held is not None and arguments[0] == "serve" else []
        self.process = _processes.Process(
            target=killable.main,
            args=(list(arguments), environment, self.log, place, self.armed, folder, handed),
            daemon=True,
        )
        self.process.start()

    async def start(self, *arguments: str, place: str | None = None, **environment: str) -> None:
        """Start the server and wait until it answers."""
        self.run(
            "serve", "--port", str(self.port), "--database", f"sqlite:///{self.database}", *arguments,
            place=place, folder=None, **environment,
        )  # fmt: skip
        await until(self.listening)

    def listening(self) -> bool:
        assert self.process.is_alive(), self.log.read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    async def ended(self) -> int:
        """The exit code, once there is one; below zero the signal that it died of."""
        await until(lambda: not self.process.is_alive())
        return int(self.process.exitcode)

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        os.kill(self.process.pid, number)
        return await self.ended()

    async def die(self) -> None:
        """kill -9, from outside."""
        assert await self.stop(signal.SIGKILL) == -signal.SIGKILL

    async def dies(self) -> None:
        """It does so by itself, at the place it was given."""
        assert await self.ended() == -signal.SIGKILL

    async def beginning(self) -> list[dict[str, Any]]:
        """The log once it says where the server listens, and with it all before that: a thread writes it, and the
        server answers as soon as it listens."""
        await until(lambda: self.log.exists() and "listening" in self.log.read_text())
        return self.lines()

    def lines(self) -> list[dict[str, Any]]:
        """The log, whose every line must be a JSON object."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    # The database, furnished before the start and read at any time

    def furnish(self, carts: int = 1) -> dict[str, str]:
        """Add so many carts, milk, and a shopper for each; returns the first shopper's headers."""
        return furnish(f"sqlite:///{self.database}", carts).headers(1)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=PATIENCE)) as connection:
            return connection.execute(sql).fetchall()

    def commands(self) -> list[tuple[str, str]]:
        """(type, state) of cart 1's commands, in order."""
        return self.rows("SELECT type, state FROM commands ORDER BY seq")

    def webhook(self) -> tuple[dict[str, str], bytes]:
        """Headers and body of "paid" for the newest payment, as the sandbox signs it."""
        ((secret,),) = self.rows("SELECT secret FROM signing_keys")
        ((token, amount, currency),) = self.rows(
            "SELECT token, amount, currency FROM payments ORDER BY id DESC LIMIT 1"
        )
        return Sandbox(self.url, secret, SystemClock().now).webhook("payment.succeeded", token, amount, currency)

    async def settled(self) -> None:
        """Until no command is on its way any more."""
        await until(lambda: not {"queued", "sent"} & {state for _, state in self.commands()})

    # The cart, and what it does

    async def cart(self, boot: str = "boot-1", *, silent: bool = False) -> CartConnection:
        """Connect; `silent` keeps back the pongs."""
        headers = {"X-API-Key": KEY, "Cart-Boot-Id": boot}
        cart = await CartConnection.open(self.endpoint, "/ws/hardware/1", headers)
        cart.answer_pings = not silent
        assert cart.response is not None, self.log.read_text()
        assert cart.status == 101
        return cart

    async def ask(self, method: str, path: str, **request: Any) -> httpx2.Response | None:
        """The answer, or None when the server died over it."""
        try:
            return await self.http.request(method, path, **request)
        except httpx2.TransportError:
            return None


@contextmanager
def serving(folder: Path) -> Iterator[Served]:
    """No process outlives its test."""
    served = Served(folder)
    try:
        yield served
    finally:
        if served.process is not None:
            served.process.kill()
            served.process.join()
        if served.held is not None:
            served.held.close()


def told(cart: CartConnection) -> list[str]:
    """The commands this connection read, in order."""
    return [json.loads(text)["type"] for text in cart.texts]


async def heard(cart: CartConnection, count: int) -> None:
    """Until the cart has read so many commands."""
    await until(lambda: len(cart.texts) >= count)
