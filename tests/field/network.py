"""The network between the field and the server: a relay that cuts, loses and goes half-open, by a seed."""

import asyncio
import socket
import struct
from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import cast

from duckycart.testing.waiting import until

UP, DOWN = 0, 1  # to the server, to the client
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: the close is a reset


@dataclass(frozen=True)
class Odds:
    """How likely it is, each time some bytes pass, that it is these that the network does not bear."""

    cut: float = 0.0
    freeze: float = 0.0  # links of carts only: half-open, until the server has given the link up
    storm: float = 0.0  # links of carts only: this one and the next ones are cut as soon as they are open


CALM = Odds()
STORM = 7  # connections cut one after the other: more than the brake allows


class Network:
    """Listens beside the server; whoever connects here is connected to it, from the address he comes from."""

    def __init__(self, server_port: int, seed: str, odds: Odds = CALM) -> None:
        self.server_port = server_port
        self.port = 0
        self.odds = odds
        self.done: Counter[str] = Counter()  # what was done to whom, for the test's report
        self.frozen: Counter[str] = Counter()  # half-open links, by the cart's address
        self.losing: set[str] = set()  # addresses whose next answer is to be lost
        self.storms: Counter[str] = Counter()  # connections of a storm still to be cut, by the cart's address
        self.wires: set[Wire] = set()
        self._seed = seed
        self._random: dict[str, Random] = {}
        self._listener: asyncio.Server | None = None

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(lambda: Wire(self).client, "127.0.0.1", 0, backlog=1024)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Nothing passes any more, and nothing is left."""
        assert self._listener is not None
        self._listener.close()
        for wire in tuple(self.wires):
            wire.abort()
        await until(lambda: not self.wires)

    def random(self, address: str) -> Random:
        """Each address has its own, so that what happens to one does not depend on how fast another is."""
        if address not in self._random:
            self._random[address] = Random(f"{self._seed} {address}")
        return self._random[address]

    async def connect(self, address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the server through this network, from a loopback address of the caller's own."""
        return await asyncio.open_connection("127.0.0.1", self.port, local_addr=(address, 0))


class Wire:
    """One connection: two sockets and what lies between."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.address = ""
        self.is_link: bool | None = None  # a cart's socket; None until the request says
        self.client = _End(self, UP)
        self.server = _End(self, DOWN)
        self._held = (False, False)  # directions in which nothing passes any more
        self._early = b""  # from the client, before the server was reached
        self._connecting: asyncio.Task[None] | None = None
        network.wires.add(self)

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
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: self.server, "127.0.0.1", self.network.server_port, local_addr=(self.address, 0)
            )
        except OSError:
            self.abort()

    def passes(self, direction: int, data: bytes) -> None:
        if direction == UP and self.server.transport is None:
            self._early += data
            return
        if self.is_link is None:
            self.is_link = data.startswith(b"GET /ws/hardware/")
        if not self._held[direction] and not self._bears(direction, data):
            return
        if not self._held[direction]:
            (self.server if direction == UP else self.client).write(data)

    def _bears(self, direction: int, data: bytes) -> bool:
        """Whether these bytes pass as they should; if not, what happens instead has happened."""
        network, odds = self.network, self.network.odds
        random = network.random(self.address)
        if direction == DOWN and self.address in network.losing:
            network.losing.remove(self.address)
            self.cut(direction, data, passed=0)
            return False
        if self.is_link and direction == DOWN and network.storms[self.address]:
            network.storms[self.address] -= 1
            self.cut(direction, data)
            return False
        if self.is_link and direction == DOWN and random.random() < odds.storm:
            network.storms[self.address] = STORM
            network.done["storm"] += 1
        if self.is_link and random.random() < odds.freeze:
            self.freeze(random.choice(("up", "down", "both", "left behind")))
        if random.random() < odds.cut:
            self.cut(direction, data)
            return False
        return True

    def cut(self, direction: int, data: bytes, passed: int | None = None) -> None:
        """Part of the bytes arrives, maybe none or all of them, and both sides lose the connection."""
        random = self.network.random(self.address)
        if passed is None:
            passed = random.choice((0, random.randrange(len(data) + 1), len(data)))
        if passed:
            (self.server if direction == UP else self.client).write(data[:passed])
        what = "none" if passed == 0 else "all" if passed == len(data) else "a part"
        self.network.done[f"cut, {what} of it {'reached the server' if direction == UP else 'came back'}"] += 1
        self.abort(reset=random.random() < 0.5)

    def freeze(self, how: str) -> None:
        """Half-open: nobody is told, and nothing passes "up", "down" or "both" ways. "left behind": the client has lost
        the connection and the server does not know."""
        if self._held != (False, False):
            return
        self._held = (how != "down", how != "up")
        self.network.frozen[self.address] += 1
        self.network.done[f"half-open, {how}"] += 1
        if how == "left behind":
            self.client.abort()

    def lost(self, end: "_End") -> None:
        if end is self.server:
            self.client.close()
        elif self._held == (False, False):
            self.server.close()
        if self.client.gone and (self.server.gone or self._connecting is None):
            self.network.wires.discard(self)

    def abort(self, *, reset: bool = False) -> None:
        self.client.abort(reset=reset)
        self.server.abort(reset=reset)
        if self.client.gone and self.server.gone:
            self.network.wires.discard(self)


class _End(asyncio.Protocol):
    """One of a wire's sockets."""

    def __init__(self, wire: Wire, direction: int) -> None:
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
