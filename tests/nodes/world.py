"""Servers that share a database, from the outside."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from duckycart.bus.nats import NatsBus
from duckycart.nodes.heartbeat import Heartbeat
from duckycart.testing.waiting import until
from tests.hardware.helpers import cut_all
from tests.world import Shop, open_shop

Node = Shop


@asynccontextmanager
async def open_node(database: str, bus: str, name: str, **settings: Any) -> AsyncIterator[Node]:
    async with open_shop(database, bus=(bus,), node=name, **settings) as node:
        yield node


def bus_of(node: Node) -> NatsBus:
    bus = node.inside.dispatch._bus
    assert isinstance(bus, NatsBus)
    return bus


class Chain:
    """Two nodes."""

    def __init__(self, a: Node, b: Node, *, hurried: bool) -> None:
        self.a = a
        self.b = b
        self.hurried = hurried  # by a bus that works

    def connected(self) -> bool:
        return all(bus_of(node).connected for node in (self.a, self.b))

    async def soon(self, condition: Callable[[], Any]) -> None:
        """Until it holds: with the bus by itself, without it at the next sweeps."""
        if self.hurried:
            await until(condition)
            return
        for _ in range(3):  # what one sweep reads another thread may still be committing
            await self.sweep()
        await until(condition)

    async def sweep(self) -> None:
        for node in (self.a, self.b):
            await node.sweep()
            await node.inside.channels.sweep()

    async def beat(self) -> None:
        for node in (self.b, self.a):  # a saw b's newest
            await heartbeat(node)

    def move(self, seconds: float) -> None:
        for node in (self.a, self.b):
            node.clock.move(seconds)

    async def cut_all(self) -> None:
        await asyncio.gather(cut_all(self.a), cut_all(self.b))


def heartbeat_of(node: Node) -> Heartbeat:
    heartbeat = node.inside.heartbeat
    assert heartbeat is not None
    return heartbeat


async def heartbeat(node: Node) -> None:
    """One beat of this node."""
    await heartbeat_of(node)()
