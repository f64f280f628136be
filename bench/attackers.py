"""What ten attackers of each kind cost a good cart

Measured is the time from a screen's request for a QR to the frame at the cart, and the server's memory. The attackers
are ten connections in a process of their own; what they write was made before, every 10 ms as much as TCP takes of
64 KiB, and they read nothing. Who is cut off comes back after 10 ms.

The reference, in turns with each attack, is the same attackers attacking nobody: a sink that reads all they write. So
what the attackers cost the machine is in both, and only what the server does about them makes the ratio.
"""

import asyncio
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from statistics import quantiles
from typing import Final

from bench.figures import Figure, Target
from bench.process import free_port, memory_kib, running
from bench.shop import ask as call
from bench.shop import database_of, furnish, sqlite_file
from duckycart.server import raise_file_limit
from duckycart.testing.caller import Caller
from duckycart.testing.crowd import connect_all
from duckycart.testing.endpoint import Endpoint
from duckycart.testing.furnish import Furnished

GOOD = 1  # the cart that has done nothing
ATTACKERS: Final = 10  # of each kind; their carts, shoppers and sessions are the next ten
WRITE: Final = 65_536  # bytes
TICK: Final = 0.01  # seconds
LEFT_SECONDS: Final = 2.0  # after the attackers left, until memory is looked at
ROUNDS: Final = 10  # of the reference and the attack, in turns
MANY_STREAMS: Final = 40  # that one attacker keeps open

_UPGRADE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
)


@dataclass(frozen=True, slots=True)
class Attack:
    """What one attacker writes: first once, then again and again; and how many connections it keeps open."""

    first: bytes
    again: bytes
    step: int = WRITE  # bytes of it in a tick
    open: int = 1


def ask(path: str, headers: str = "", method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode()


def whole(piece: bytes) -> bytes:
    return piece * (WRITE // len(piece) + 1)


Kind = Callable[[str, int, str], Attack]  # of a cart's key, a session and its shopper's token

KINDS: Final[dict[str, Kind]] = {
    "pongs on carts' sockets": lambda key, session, token: Attack(
        ask("/ws/hardware/{cart}", f"{_UPGRADE}X-API-Key: {key}\r\n"), whole(b"\x8a\x80mask")
    ),
    "pings on carts' sockets": lambda key, session, token: Attack(
        ask("/ws/hardware/{cart}", f"{_UPGRADE}X-API-Key: {key}\r\n"), whole(b"\x89\x80mask")
    ),
    "pongs on screens' sockets": lambda key, session, token: Attack(
        ask(f"/ws/{session}?token={token}", _UPGRADE), whole(b"\x8a\x80mask")
    ),
    "fragments on screens' sockets": lambda key, session, token: Attack(
        ask(f"/ws/{session}?token={token}", _UPGRADE) + b"\x01\x80mask", whole(b"\x00\x80mask")
    ),
    "requests ahead, unread": lambda key, session, token: Attack(b"", whole(ask("/healthz"))),
    "large answers, unread": lambda key, session, token: Attack(b"", whole(ask("/openapi.json"))),
    "refusals, unread": lambda key, session, token: Attack(b"", whole(ask("/nowhere"))),
    "heads byte by byte": lambda key, session, token: Attack(b"GET / HTTP/1.1\r\nX: ", b"x", step=1),
    "frames byte by byte": lambda key, session, token: Attack(
        ask(f"/ws/{session}?token={token}", _UPGRADE), b"\x8a\x80mask", step=1
    ),
    "bodies in chunks of a byte": lambda key, session, token: Attack(
        ask("/auth/login", "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n", "POST"),
        whole(b"1\r\nx\r\n"),
    ),
    "streams, unread": lambda key, session, token: Attack(
        ask(f"/customer-session/{session}/events?token={token}"), b"", open=MANY_STREAMS
    ),
    "silent connections": lambda key, session, token: Attack(b"", b"", open=MANY_STREAMS),
}


Figures = tuple[float, ...]


class Attacker:
    def __init__(self, attack: Attack, port: int) -> None:
        self._attack = attack
        self._port = port
        self._sockets: list[tuple[socket.socket, memoryview]] = []
        self._position = 0

    def tick(self) -> None:
        """Open one connection if one is missing, and write on each."""
        if len(self._sockets) < self._attack.open:
            self._open()
        self._sockets = [(it, left) for it, waiting in self._sockets if (left := self._write(it, waiting)) is not None]

    def _open(self) -> None:
        made = socket.socket()
        made.setblocking(False)
        made.connect_ex(("127.0.0.1", self._port))
        self._sockets.append((made, memoryview(self._attack.first)))

    def _write(self, it: socket.socket, waiting: memoryview) -> memoryview | None:
        try:
            if not waiting and self._attack.again:
                at = self._position % len(self._attack.again)
                self._position = at + self._attack.step
                waiting = memoryview(self._attack.again)[at : at + self._attack.step]
            return waiting[it.send(waiting) :] if waiting else self._look(it, waiting)
        except BlockingIOError:
            return waiting
        except OSError:
            it.close()
            return None

    def _look(self, it: socket.socket, waiting: memoryview) -> memoryview | None:
        """Whoever has nothing to write must see otherwise that it was cut off; what it was sent stays unread."""
        if it.recv(1, socket.MSG_PEEK) == b"":
            it.close()
            return None
        return waiting

    def leave(self) -> None:
        for it, _ in self._sockets:
            it.close()


Someone = tuple[int, str, int, str]  # a cart, its key, a session and its shopper's token


def attack(orders: Connection, who: list[Someone]) -> None:
    """In the attackers' process: what kind against which port, until the next order; None is the last."""
    raise_file_limit()
    while (order := orders.recv()) is not None:
        kind, port = order
        attackers = []
        for cart_id, key, session, token in who:
            made = KINDS[kind](key, session, token)
            first = made.first.replace(b"{cart}", str(cart_id).encode())
            attackers.append(Attacker(replace(made, first=first), port))
        while not orders.poll():
            for attacker in attackers:
                attacker.tick()
            time.sleep(TICK)
        orders.recv()
        for attacker in attackers:
            attacker.leave()
        orders.send(None)


def sink(listening: socket.socket, ended: Event) -> None:
    """Reads whatever comes, in a process of its own."""
    selector = selectors.DefaultSelector()
    selector.register(listening, selectors.EVENT_READ)
    while not ended.is_set():
        for key, _ in selector.select(0.1):
            if key.fileobj is listening:
                accepted, _ = listening.accept()
                selector.register(accepted, selectors.EVENT_READ)
                continue
            peer = key.fileobj
            assert isinstance(peer, socket.socket)
            try:
                gone = not peer.recv(WRITE)
            except OSError:
                gone = True
            if gone:
                selector.unregister(peer)
                peer.close()


@contextmanager
def attackers(who: list[Someone]) -> Iterator[tuple[Connection, int]]:
    """Where their orders go, and the port of the sink."""
    spawning = get_context("spawn")
    ours, theirs = spawning.Pipe()
    ended = spawning.Event()
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as listening:
        port = int(listening.getsockname()[1])
        processes = [
            spawning.Process(target=attack, args=(theirs, who), daemon=True),
            spawning.Process(target=sink, args=(listening, ended), daemon=True),
        ]
        for process in processes:
            process.start()
        try:
            yield ours, port
        finally:
            ours.send(None)
            ended.set()
            for process in processes:
                process.join(10)


class Screen:
    """The good cart's screen, which asks for a QR, and the cart, which shows it."""

    def __init__(self, port: int, key: str) -> None:
        self._port = port
        self._key = key
        self._heard = asyncio.Event()

    def heard(self, cart_id: int, frame: bytes) -> None:
        self._heard.set()

    async def open(self) -> None:
        await connect_all(Endpoint(self._port), {GOOD: self._key}, 1, self.heard)
        self._http = Caller(Endpoint(self._port), {})

    async def trigger(self) -> float:
        """Seconds from the request to the frame."""
        self._heard.clear()
        started = time.perf_counter()
        asking = asyncio.ensure_future(
            call(
                self._http, "GET", f"/customer-session/qr/{GOOD}", {"X-API-Key": self._key, "Connection": "keep-alive"}
            )
        )
        async with asyncio.timeout(60):
            await self._heard.wait()
        seconds = time.perf_counter() - started
        await asking
        return seconds

    async def triggers(self, count: int) -> list[float]:
        """The seconds of so many."""
        seconds = []
        for _ in range(count):
            seconds.append(await self.trigger())
            await asyncio.sleep(TICK / 2)
        return seconds


async def shop(port: int, keys: dict[int, str], tokens: dict[int, str]) -> list[Someone]:
    """A session for each attacker, as a shopper and a cart of its own."""
    http = Caller(Endpoint(port), {})
    theirs = {cart_id: key for cart_id, key in keys.items() if cart_id != GOOD}
    carts = await connect_all(Endpoint(port), theirs, ATTACKERS)
    who = []
    for cart_id, key in theirs.items():
        token = tokens[cart_id]
        qr = await call(http, "GET", f"/customer-session/qr/{cart_id}", {"X-API-Key": key})
        session = await call(
            http, "POST", "/customer-session/scan-qr", {"Authorization": f"Bearer {token}"}, {"token": qr}
        )
        who.append((cart_id, key, int(session["session_id"]), token))
    for cart in carts:
        cart.close()
    return who


async def all_of(kinds: list[str], port: int, pid: int, furnished: Furnished, count: int) -> list[tuple[str, Figures]]:
    keys = furnished.keys
    who = await shop(port, keys, furnished.shoppers)
    screen = Screen(port, keys[GOOD])
    await screen.open()
    rows: list[tuple[str, Figures]] = []
    with attackers(who) as (orders, nowhere):
        for kind in ("large answers, unread", "streams, unread"):  # warm up: what stays of the first time is no leak
            await under(orders, kind, port, screen, 20)
            await asyncio.sleep(LEFT_SECONDS)
        for kind in kinds:
            before = memory_kib(pid)
            alone: list[float] = []
            attacked: list[float] = []
            most = 0
            for _ in range(ROUNDS):  # in turns, so that whatever else the machine does is in both
                alone += await under(orders, kind, nowhere, screen, count // ROUNDS)
                attacked += await under(orders, kind, port, screen, count // ROUNDS)
                most = max(most, memory_kib(pid))
            await asyncio.sleep(LEFT_SECONDS)
            mib = (kib / 1024 for kib in (before, most, memory_kib(pid)))
            rows.append((kind, (*middle_and_worst(alone), *middle_and_worst(attacked), *mib)))
    return rows


async def under(orders: Connection, kind: str, port: int, screen: Screen, count: int) -> list[float]:
    """The triggers' seconds under this attack."""
    orders.send((kind, port))
    await asyncio.sleep(0.3)
    seconds = await screen.triggers(count)
    orders.send("stop")
    await asyncio.to_thread(orders.recv)
    return seconds


def middle_and_worst(seconds: list[float]) -> tuple[float, float]:
    """p50 and p99, in milliseconds."""
    cuts = quantiles(seconds, n=100)
    return cuts[49] * 1e3, cuts[98] * 1e3


def measure(quick: bool) -> Iterator[Figure]:
    with sqlite_file() as path:
        furnished = furnish(path, ATTACKERS + 1)
        # With the limits that every server has: they are what is attacked.
        port = free_port()
        with running(
            ["-m", "duckycart", "serve", "--port", str(port)], port, DUCKYCART_DATABASE=database_of(path)
        ) as pid:
            kinds = list(KINDS)[: 2 if quick else None]
            rows = asyncio.run(all_of(kinds, port, pid, furnished, 2 * ROUNDS if quick else 400))
    for kind, (_, p99, _, then99, before, _, after) in rows:
        yield Figure(f"{kind}: p99", then99, "ms", "attacking nobody", p99, Target(3, ratio=True))
        yield Figure(f"{kind}: memory afterwards", after, "MiB", "before", before, Target(1.1, ratio=True))
