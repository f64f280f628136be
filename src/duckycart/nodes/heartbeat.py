"""Each node has a row that it keeps touching. One whose row stands still is dead, and its carts are offline.

A node judges the others by what it saw itself, never by comparing clocks: `beats` stood still for DEAD_SECONDS in which
it looked again and again. A node that was given up wrongly (a long pause, a database away for this node alone) finds
its row gone and makes it anew; its sweep takes back those of its links that nobody claimed meanwhile.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog
from sqlalchemy import Connection, Row, bindparam, func, insert, select, update

from duckycart.clock import Clock
from duckycart.errors import DuckyCartError
from duckycart.hardware.ownership import give_up, leave, release_orphans
from duckycart.nodes.clocks import Disagreements, ahead_of_database
from duckycart.store.tables import nodes
from duckycart.store.transaction import Store, Transaction

log = structlog.get_logger()

BEAT_SECONDS: Final = 2.0
DEAD_SECONDS: Final = 8.0  # of a row that stands still; a pause of the whole process can last seconds
GAP_SECONDS: Final = 2 * BEAT_SECONDS  # between two looks: after a longer one what was seen before it proves nothing
RELEASE_SECONDS: Final = 60.0  # for those of a whole node, a statement for each slice

_BEAT: Final = (
    update(nodes)
    .where(nodes.c.id == bindparam("node"))
    .values(
        beats=nodes.c.beats + 1,
        seen_at=bindparam("at"),
        links=bindparam("held"),
        clock_ahead=func.coalesce(bindparam("ahead"), nodes.c.clock_ahead),
    )
)
_OTHERS: Final = select(nodes.c.id, nodes.c.beats, nodes.c.clock_ahead).where(nodes.c.id != bindparam("node"))


@dataclass(frozen=True, slots=True)
class Other:
    """What another node's row says."""

    beats: int
    clock_ahead: int | None


def beat(tx: Transaction, node: str, links: int, clock_ahead: int | None = None) -> tuple[bool, dict[str, Other]]:
    """Write that the node lives, holds so many links, and has its clock so many milliseconds ahead of the database's.

    Returns whether the node's row was there, and what the others' rows say.
    """
    sign = {"node": node, "at": tx.now, "held": links, "ahead": clock_ahead}
    known = tx.connection.execute(_BEAT, sign).rowcount == 1
    if not known:
        row = {"id": node, "beats": 0, "started_at": tx.now, "seen_at": tx.now, "links": links}
        tx.connection.execute(insert(nodes).values({**row, "clock_ahead": clock_ahead}))
    others = tx.connection.execute(_OTHERS, {"node": node})
    return known, {row.id: Other(row.beats, row.clock_ahead) for row in others}


def count_others(connection: Connection, node: str) -> int:
    """Return how many other nodes there are, as far as is known."""
    count: int = connection.execute(select(func.count()).where(nodes.c.id != node)).scalar_one()
    return count


def list_nodes(connection: Connection) -> Sequence[Row[Any]]:
    """Return all rows, the oldest node first."""
    return connection.execute(select(nodes).order_by(nodes.c.started_at, nodes.c.id)).all()


@dataclass(slots=True)
class _Seen:
    beats: int
    since: float  # when these beats were first seen (monotonic)


class Heartbeat:
    """Beats for this node and watches the others; call it every BEAT_SECONDS."""

    def __init__(self, store: Store, clock: Clock, node: str, links: Callable[[], int]) -> None:
        """Watch nothing yet; `begin` comes next. `links` returns how many carts are connected to this node."""
        self._store = store
        self._clock = clock
        self._node = node
        self._links = links
        self._seen: dict[str, _Seen] = {}
        self._looked_at: float | None = None  # the last successful look (monotonic)
        self._clocks = Disagreements(clock.monotonic)
        self._beating: asyncio.Future[tuple[bool, int | None, dict[str, Other]]] | None = (
            None  # under way, or the last one
        )
        self._ending = False

    async def begin(self) -> None:
        """Make this node's row, and release the carts of nodes that there are no more. To be awaited before the first
        cart connects."""
        _, others = await self._beat(0)
        self._silent(others)
        await self._store.write(release_orphans, within=RELEASE_SECONDS)

    def knows(self, node: str) -> bool:
        """Return whether this was a living node of the same database when ours last looked."""
        return node in self._seen

    async def __call__(self) -> None:
        """Beat once, and give up nodes that are silent; does nothing after the end. Raises Unavailable while the
        database is away."""
        if self._ending:
            return
        held = self._links()
        there, others = await self._beat(held)
        if not there:
            log.warning("this node was given up and lives", links=held)
        for node, beats in self._silent(others):
            carts_gone = await self._store.write(
                lambda tx, node=node, beats=beats: give_up(tx, node, beats),  # type: ignore[misc]
                within=RELEASE_SECONDS,
            )
            self._seen.pop(node, None)  # its beats begin anew, should it live
            if carts_gone is not None:
                log.warning("node given up, it gave no sign of life", silent=node, carts=carts_gone)
        # So that all agree on what is over.
        await self._store.write(lambda tx: self._store.clock.keep(tx.connection), hurry=False)

    async def others(self) -> bool:
        """Return whether another node lives, as far as is known; False when the database cannot tell."""
        try:
            return await self._store.read(lambda connection: count_others(connection, self._node)) > 0
        except DuckyCartError:
            return False

    async def end(self) -> None:
        """Delete this node's row, after the last link was released. No beat under way makes it anew."""
        self._ending = True
        if self._beating is not None:
            await asyncio.wait([self._beating])
        try:
            await self._store.write(lambda tx: leave(tx, self._node))
        except DuckyCartError as error:
            log.warning("left without a word, the others will give this node up", reason=error.code)

    async def _beat(self, links: int) -> tuple[bool, dict[str, int]]:
        # Cancelling the caller, a timer, does not cancel the beat. So `end` must be able to wait for it.
        self._beating = asyncio.ensure_future(self._store.write(lambda tx: self._write_beat(tx, links)))
        there, own, others = await asyncio.shield(self._beating)
        self._clocks.compare(own, {node: other.clock_ahead for node, other in others.items()})
        return there, {node: other.beats for node, other in others.items()}

    def _write_beat(self, tx: Transaction, links: int) -> tuple[bool, int | None, dict[str, Other]]:
        ahead = ahead_of_database(tx, self._clock)
        there, others = beat(tx, self._node, links, ahead)
        return there, ahead, others

    def _silent(self, others: Mapping[str, int]) -> list[tuple[str, int]]:
        """Return the nodes whose beats have stood still for too long, under our own eyes, with those beats."""
        now = self._clock.monotonic()
        if self._looked_at is None or now - self._looked_at > GAP_SECONDS:
            self._seen.clear()
        self._looked_at = now
        self._seen = {
            node: seen if (seen := self._seen.get(node)) is not None and seen.beats == beats else _Seen(beats, now)
            for node, beats in others.items()
        }
        return [(node, seen.beats) for node, seen in self._seen.items() if now - seen.since >= DEAD_SECONDS]
