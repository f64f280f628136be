"""A cart's surroundings for tests: a server at the other end, hardware that takes notes, moved time."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

import jwt
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from duckycart.cart.driver import Basket, Driver, Tell
from duckycart.cart.heard import Heard
from duckycart.cart.program import CartProgram
from duckycart.testing.clock import ManualClock
from duckycart.testing.waiting import PATIENCE
from duckycart.wire import Command, CommandType, encode

NOW = 1_900_000_000  # seconds since 1970
HTTP_NOW = "Sun, 17 Mar 2030 17:46:40 GMT"


@dataclass
class Nap:
    seconds: float
    over: asyncio.Future[None]

    def wake(self) -> None:
        self.over.set_result(None)


class Naps:
    """A sleep that lasts until the test wakes it."""

    def __init__(self) -> None:
        self._begun: asyncio.Queue[Nap] = asyncio.Queue()

    async def __call__(self, seconds: float) -> None:
        nap = Nap(seconds, asyncio.get_running_loop().create_future())
        self._begun.put_nowait(nap)
        await nap.over

    async def next(self) -> Nap:
        """The next one that is still slept."""
        async with asyncio.timeout(PATIENCE):
            while True:
                nap = await self._begun.get()
                if not nap.over.done():
                    return nap

    def none(self) -> bool:
        return self._begun.empty()


class LongestDelays(Random):
    """Draws the upper end every time, so that delays can be told in advance."""

    def uniform(self, a: float, b: float) -> float:
        return b


class Notebook(Driver):
    """Hardware that writes down what it is told, and hears what a test says."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self._changed = asyncio.Event()
        self.tell: Tell = lambda heard: None

    async def run(self, tell: Tell) -> None:
        self.tell = tell

    def _write(self, *what: Any) -> None:
        self.told.append(what)
        self._changed.set()

    def show_idle(self) -> None:
        self._write("show_idle")

    def show_qr(self, url: str | None) -> None:
        self._write("show_qr", url)

    def start_shopping(self, session_id: int) -> None:
        self._write("start_shopping", session_id)

    def hold_for_payment(self, session_id: int) -> None:
        self._write("hold_for_payment", session_id)

    def return_to_idle(self) -> None:
        self._write("return_to_idle")

    def basket(self, basket: Basket) -> None:
        self._write("basket", basket)

    def connection(self, connected: bool, sentence: str) -> None:
        self._write("connection", connected, sentence)

    def notice(self, sentence: str) -> None:
        self._write("notice", sentence)

    async def until(self, *what: Any, times: int = 1) -> tuple[Any, ...]:
        """Wait until something that begins like `what` was told so often; the latest."""
        async with asyncio.timeout(PATIENCE):
            while len(found := [entry for entry in self.told if entry[: len(what)] == what]) < times:
                self._changed.clear()
                await self._changed.wait()
        return found[-1]

    def work(self) -> list[tuple[Any, ...]]:
        """What the hardware had to do, without words for people."""
        return [entry for entry in self.told if entry[0] not in ("connection", "notice", "show_idle", "basket")]


def http_response(status: int, body: bytes = b"", **headers: str) -> Response:
    head = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, "", Headers({"Content-Length": str(len(body)), **head}), body)


def qr_token(**claims: Any) -> str:
    return jwt.encode({"exp": NOW + 300, "cartid": 7} | claims, "0" * 32)


def qr_response(token: str, **headers: str) -> Response:
    link = f'<https://shop.example/s/{token}>; rel="alternate"'
    return http_response(200, f'"{token}"'.encode(), **({"Link": link, "Date": HTTP_NOW} | headers))


@dataclass
class FakeServer:
    """Lets carts in, or refuses them in the order of `refusals`; `qr` answers the QR endpoint, and nothing does the
    calls of a session."""

    url: str = ""
    refusals: list[Response] = field(default_factory=list)
    qr: Callable[[], Awaitable[Response]] | None = None
    handshakes: list[Request] = field(default_factory=list)
    calls: list[Request] = field(default_factory=list)
    qr_requests: list[Request] = field(default_factory=list)
    _accepted: asyncio.Queue[ServerConnection] = field(default_factory=asyncio.Queue)

    async def process_request(self, _: ServerConnection, request: Request) -> Response | None:
        if request.path.startswith("/customer-session/qr/"):
            self.qr_requests.append(request)
            assert self.qr is not None
            return await self.qr()
        if "/ws/hardware/" not in request.path:
            self.calls.append(request)
            return http_response(503)
        self.handshakes.append(request)
        return self.refusals.pop(0) if self.refusals else None

    async def handle(self, connection: ServerConnection) -> None:
        self._accepted.put_nowait(connection)
        await connection.wait_closed()

    async def cart(self) -> ServerConnection:
        """The next connection that was let in."""
        async with asyncio.timeout(PATIENCE):
            return await self._accepted.get()


@asynccontextmanager
async def server(tls: ssl.SSLContext | None = None) -> AsyncIterator[FakeServer]:
    fake = FakeServer()
    async with serve(fake.handle, "127.0.0.1", 0, process_request=fake.process_request, ssl=tls) as listening:
        host, port = listening.sockets[0].getsockname()
        fake.url = f"http{'s' if tls else ''}://{host}:{port}"
        yield fake


@dataclass
class Cart:
    program: CartProgram
    driver: Notebook
    naps: Naps
    clock: ManualClock
    running: asyncio.Task[None]


@asynccontextmanager
async def cart(
    url: str, *, key: str | None = None, ask_for_qr: bool = False, driver: Driver | None = None, **more: Any
) -> AsyncIterator[Cart]:
    notebook, naps, clock = Notebook(), Naps(), ManualClock(NOW * 1000)
    program = CartProgram(
        7,
        url,
        driver or notebook,
        key=key,
        ask_for_qr=ask_for_qr,
        clock=clock,
        sleep=naps,
        random=LongestDelays(),
        **more,
    )
    running = asyncio.create_task(program.run())
    try:
        yield Cart(program, notebook, naps, clock, running)
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError, ExceptionGroup):
            await running


@asynccontextmanager
async def driven(driver: Driver) -> AsyncIterator[list[Heard]]:
    """What the hardware of this driver has heard; it runs for the block."""
    told: list[Heard] = []
    running = asyncio.create_task(driver.run(told.append))
    try:
        yield told
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def send(connection: ServerConnection, kind: CommandType, session_id: int | None = None) -> None:
    """As the server does: a text frame. Returns when the cart's socket has read it."""
    await connection.send(encode(Command(kind, session_id)), text=True)
    async with asyncio.timeout(PATIENCE):
        await (await connection.ping())
