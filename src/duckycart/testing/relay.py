"""A relay is a bad network in front of a server: it cuts, stalls, resets, loses answers and leaves links half-open."""

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from random import Random
from typing import Final, cast

from duckycart.testing.endpoint import Endpoint
from duckycart.testing.waiting import until

_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: the close is a reset


class Direction(IntEnum):
    """Which way bytes go through a relay."""

    UP = 0  # to the server
    DOWN = 1  # to the client


UP, DOWN = Direction.UP, Direction.DOWN


class HalfOpen(StrEnum):
    """How a connection is dead although neither side was told so."""

    UP = "up"  # nothing reaches the server any more
    DOWN = "down"  # nothing comes back any more
    BOTH = "both"
    LEFT_BEHIND = "left behind"  # the client has lost the connection, and the server does not know


@dataclass(frozen=True, slots=True)
class Odds:
    """How likely it is, each time some bytes pass, that it is these that the network does not bear."""

    cut: float = 0.0
    freeze: float = 0.0  # links of carts only: half-open, until the server has given the link up
    storm: float = 0.0  # links of carts only: this one and the next ones are cut as soon as they are open


CALM = Odds()
STORM = 7  # connections cut one after the other: more than a server's brake may allow


@dataclass(frozen=True, slots=True)
class _Loss:
    """An answer that is to be lost."""

    address: str | None  # of the client; None: of any
    beginning: bytes


class Relay:
    """A port in front of a server. Whoever connects to it is connected to the server.

    What it does by chance is drawn from `seed`, so that what failed once can be looked at again.
    """

    def __init__(self, target: Endpoint, *, seed: str = "", odds: Odds = CALM, same_address: bool = False) -> None:
        """Make a relay that does not listen yet. With `same_address` a server on the loopback sees each client's
        address. `target.tls` is not looked at."""
        self.target = target
        self.port = 0  # where it listens, once it is open; it stays the same when it is opened again
        self.odds = odds
        self.same_address = same_address
        self.passed: Callable[[Direction, bytes], None] | None = None  # called with what arrives
        self.done: Counter[str] = Counter()  # what was done to whom, for a test's report
        self.frozen: Counter[str] = Counter()  # half-open links, by the client's address
        self.storms: Counter[str] = Counter()  # connections of a storm still to be cut, by the client's address
        self.wires: set[Wire] = set()  # the connections that there are
        self.ends_lost = 0  # how often either side of a connection ended
        self._seed = seed
        self._losses: list[_Loss] = []
        self._random: dict[str, Random] = {}
        self._listener: asyncio.Server | None = None
        self._flowing = asyncio.Event()  # connections are led on
        self._flowing.set()

    @property
    def endpoint(self) -> Endpoint:
        """Where clients connect."""
        return Endpoint(self.port)

    async def open(self) -> None:
        """Listen for clients."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(lambda: Wire(self).client, "127.0.0.1", self.port, backlog=1024)
        self.port = self._listener.sockets[0].getsockname()[1]

    def shut(self) -> None:
        """Let nobody connect any more, until it is opened again. Connections that are open stay."""
        if self._listener is not None:
            self._listener.close()

    async def close(self) -> None:
        """Let nothing pass any more. When it returns, no connection is left."""
        self.shut()
        self.cut()
        await until(lambda: not self.wires)

    def cut(self) -> None:
        """Break every connection, on both sides and without a goodbye; the next ones are as good as new."""
        for wire in tuple(self.wires):
            wire.abort()

    def freeze(self, how: HalfOpen = HalfOpen.BOTH) -> None:
        """Leave every connection that is open now half-open, for as long as it lasts."""
        for wire in tuple(self.wires):
            wire.freeze(how)

    def stall(self) -> None:
        """Swallow whatever is said on the connections of now; those to come are taken, and wait for `resume`."""
        self._flowing.clear()
        self.freeze()

    def resume(self) -> None:
        """Lead new connections, and those that waited, on to the server."""
        self._flowing.set()

    async def flowing(self) -> None:
        """Wait until connections are led on."""
        await self._flowing.wait()

    def lose(self, times: int = 1, *, address: str | None = None, beginning: bytes = b"") -> None:
        """Lose the next answers, to this client or to any, that begin so, each with its connection."""
        self._losses += [_Loss(address, beginning)] * times

    @property
    def to_lose(self) -> int:
        """How many answers are still to be lost."""
        return len(self._losses)

    def loses(self, address: str, data: bytes) -> bool:
        """Return whether this answer is one that is to be lost; if so, it counts as done."""
        for loss in self._losses:
            if loss.address in (None, address) and data.startswith(loss.beginning):
                self._losses.remove(loss)
                return True
        return False

    def random(self, address: str) -> Random:
        """Return the random numbers of one address, so that what happens to one does not depend on how fast another
        is."""
        if address not in self._random:
            self._random[address] = Random(f"{self._seed} {address}")
        return self._random[address]


class Wire:
    """One connection through a relay: two sockets and what lies between."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.address = ""  # the client's
        self.is_link: bool | None = None  # a cart's socket; None until the request says
        self.client = _End(self, UP)
        self.server = _End(self, DOWN)
        self._held = (False, False)  # directions in which nothing passes any more
        self._early = b""  # from the client, before the server was reached
        self._connecting: asyncio.Task[None] | None = None
        relay.wires.add(self)

    def __repr__(self) -> str:
        return f"<held {self._held}, client gone {self.client.gone}, server gone {self.server.gone}>"

    def opened(self, end: "_End") -> None:
        if end is self.client:
            self.address = end.peer()
            self._connecting = asyncio.get_running_loop().create_task(self._connect())
        elif self.client.gone:
            end.abort()
        elif self._early:
            early, self._early = self._early, b""
            self.passes(UP, early)

    async def _connect(self) -> None:
        await self.relay.flowing()
        target = self.relay.target
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: self.server,
                target.host,
                target.port,
                local_addr=(self.address, 0) if self.relay.same_address else None,
            )
        except OSError:
            self.abort()

    def passes(self, direction: Direction, data: bytes) -> None:
        if direction == UP and self.server.transport is None:
            self._early += data
            return
        if self.is_link is None:
            self.is_link = data.startswith(b"GET /ws/hardware/")
        if self._held[direction] or not self._bears(direction, data) or self._held[direction]:
            return
        if self.relay.passed is not None:
            self.relay.passed(direction, data)
        (self.server if direction == UP else self.client).write(data)

    def _bears(self, direction: Direction, data: bytes) -> bool:
        """Return whether these bytes pass as they should; if not, what happens instead has happened."""
        relay, odds = self.relay, self.relay.odds
        random = relay.random(self.address)
        if direction == DOWN and relay.loses(self.address, data):
            self.cut(direction, data, passed=0)
            return False
        if self.is_link and direction == DOWN and relay.storms[self.address]:
            relay.storms[self.address] -= 1
            self.cut(direction, data)
            return False
        if self.is_link and direction == DOWN and random.random() < odds.storm:
            relay.storms[self.address] = STORM
            relay.done["storm"] += 1
        if self.is_link and random.random() < odds.freeze:
            self.freeze(random.choice(tuple(HalfOpen)))
        if random.random() < odds.cut:
            self.cut(direction, data)
            return False
        return True

    def cut(self, direction: Direction, data: bytes, passed: int | None = None) -> None:
        """Let part of the bytes arrive, maybe none or all of them, and break the connection on both sides."""
        random = self.relay.random(self.address)
        if passed is None:
            passed = random.choice((0, random.randrange(len(data) + 1), len(data)))
        if passed:
            (self.server if direction == UP else self.client).write(data[:passed])
        what = "none" if passed == 0 else "all" if passed == len(data) else "a part"
        self.relay.done[f"cut, {what} of it {'reached the server' if direction == UP else 'came back'}"] += 1
        self.abort(reset=random.random() < 0.5)

    def freeze(self, how: HalfOpen) -> None:
        """Leave the connection half-open. Nothing changes on one that is so already."""
        if self._held != (False, False):
            return
        self._held = (how != HalfOpen.DOWN, how != HalfOpen.UP)
        self.relay.frozen[self.address] += 1
        self.relay.done[f"half-open, {how}"] += 1
        if how == HalfOpen.LEFT_BEHIND:
            self.client.abort()

    def lost(self, end: "_End") -> None:
        self.relay.ends_lost += 1
        if end is self.server:
            self.client.close()
        elif self._held == (False, False):
            self.server.close()
        if self.client.gone and (self.server.gone or self._connecting is None):
            self.relay.wires.discard(self)

    def abort(self, *, reset: bool = False) -> None:
        """Break the connection on both sides; with `reset` each side sees an error, not an end."""
        if self.server.transport is None and self._connecting is not None:
            self._connecting.cancel()
        self.client.abort(reset=reset)
        self.server.abort(reset=reset)
        if self.client.gone and self.server.gone:
            self.relay.wires.discard(self)


class _End(asyncio.Protocol):
    """One of a wire's sockets."""

    def __init__(self, wire: Wire, direction: Direction) -> None:
        self.wire = wire
        self.direction = direction  # of what is read here
        self.transport: asyncio.Transport | None = None
        self.gone = False

    def peer(self) -> str:
        assert self.transport is not None
        return cast(tuple[str, int], self.transport.get_extra_info("peername"))[0]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.wire.opened(self)

    def data_received(self, data: bytes) -> None:
        self.wire.passes(self.direction, data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = True
        self.wire.lost(self)

    def write(self, data: bytes) -> None:
        if self.transport is not None:
            self.transport.write(data)

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()

    def abort(self, *, reset: bool = False) -> None:
        if self.transport is None:
            self.gone = True
            return
        if reset and not self.transport.is_closing():
            sock: socket.socket = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()


@asynccontextmanager
async def relaying(target: Endpoint) -> AsyncIterator[Relay]:
    """Open a relay for the block."""
    relay = Relay(target)
    await relay.open()
    try:
        yield relay
    finally:
        await relay.close()
