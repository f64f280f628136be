"""Between the committed commands and the links of this node."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Coroutine
from typing import Any, Final

import structlog
from sqlalchemy import bindparam, select

from duckycart.clock import Clock
from duckycart.errors import DuckyCartError
from duckycart.hardware.admission import Brake, Refusal
from duckycart.hardware.catchup import Filled, claim, fill, release
from duckycart.hardware.link import SILENCE_SECONDS, TAKEN_OVER, Link, Send
from duckycart.hardware.links import Connection, Links
from duckycart.hardware.receipts import Receipts, log_command
from duckycart.lifecycle.effects import Queued, Received
from duckycart.store.engine import Store
from duckycart.store.tables import commands as command_rows

log = structlog.get_logger()

CLAIM_SECONDS: Final = 6.0  # with PROBE_SECONDS before it: client libraries give up after 10
PROBE_SECONDS: Final = 3.0  # for an incumbent to show that it lives, before a newcomer past the brake is refused

_STATE: Final = select(command_rows.c.state).where(
    command_rows.c.cart_id == bindparam("cart"), command_rows.c.seq == bindparam("of_seq")
)


class Dispatch:
    """Claims connections, offers commands to them, and knows what became of a command."""

    def __init__(self, store: Store, clock: Clock, node: str, *, handshakes: int, connects: int) -> None:
        self._store = store
        self._clock = clock
        self.node = node  # in the carts' rows: this very process, so that no later one takes its links for its own
        self.links = Links()
        self.receipts = Receipts(store, clock)
        self.brake = Brake(connects, clock.monotonic)
        self.draining = False
        self._handshakes = handshakes
        self.handshaking = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiters: defaultdict[tuple[int, int], set[asyncio.Future[None]]] = defaultdict(set)
        self._probes: dict[Link, set[asyncio.Future[None]]] = {}
        self._unreleased: set[tuple[int, int]] = set()  # (cart, epoch) that the database could not release yet

    def monotonic(self) -> float:
        return self._clock.monotonic()

    @property
    def working(self) -> int:
        """Pieces of work under way that nobody waits for."""
        return len(self._tasks)

    def silence(self) -> float:
        """Each link's own, so that carts that came at once are not pinged at once for ever."""
        return SILENCE_SECONDS * random.uniform(0.9, 1.0)  # noqa: S311 - no secret

    # A cart connects

    async def connect(self, connection: Connection, key_hash: bytes | None, boot_id: str | None) -> Filled:
        """Claim the cart for this connection. Returns what it must send first; raises Refusal.

        When this returns the connection is the cart's current one, and an older one here is closing.
        """
        if self.draining:
            raise Refusal(503, "The server is stopping.", retry_after=2)
        if self.handshaking >= self._handshakes:
            raise Refusal(503, "Too many carts are connecting; come back shortly.", retry_after=2)
        self.handshaking += 1
        try:
            await self._pass_brake(connection.link.cart_id)
            return await self._claim(connection, key_hash, boot_id)
        finally:
            self.handshaking -= 1

    async def _pass_brake(self, cart_id: int) -> None:
        retry_after = self.brake.retry_after(cart_id)
        if retry_after is None:
            return
        incumbent = self.links.current(cart_id)
        if incumbent is not None and not await self._answers(incumbent):
            return  # it is dead: the newcomer wins
        raise Refusal(429, "This cart connects too often; do two carts use one key?", retry_after=retry_after)

    async def _answers(self, incumbent: Connection) -> bool:
        link = incumbent.link
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if link not in self._probes:  # one ping serves all who ask meanwhile
            self._probes[link] = set()
            incumbent.probe()
        self._probes[link].add(answered)
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                await answered
            return True
        except TimeoutError:
            return False
        finally:
            self._probes[link].discard(answered)
            if not self._probes[link]:
                del self._probes[link]

    async def _claim(self, connection: Connection, key_hash: bytes | None, boot_id: str | None) -> Filled:
        link = connection.link
        wanted = [True]
        self.links.claiming(connection)
        done: asyncio.Future[Filled | None] | None = None
        try:
            async with asyncio.timeout(CLAIM_SECONDS):
                await self.receipts.written(link.cart_id)  # what the old link heard must not be sent again by this one
                done = asyncio.ensure_future(
                    self._store.write(
                        lambda tx: claim(tx, link.cart_id, key_hash, self.node, boot_id),
                        hurry=False,
                        wanted=lambda: wanted[0] and not connection.gone,
                    )
                )
                filled = await asyncio.shield(done)
        except (TimeoutError, asyncio.CancelledError, DuckyCartError) as error:
            # Giving up does not undo a claim that the writer has already begun: then it is released by its epoch.
            wanted[0] = False
            self.links.unclaim(connection)
            if done is not None:
                self._spawn(self._release_late(link.cart_id, done))
            if isinstance(error, asyncio.CancelledError) and not connection.gone:
                raise
            raise Refusal(503, "The server cannot take the cart now; come back shortly.", retry_after=2) from error
        if filled is None:
            self.links.unclaim(connection)
            raise Refusal(403, "Unknown or disabled cart, or wrong key.")
        link.claimed(filled.epoch, filled.generation)
        if connection.gone:
            self.links.unclaim(connection)
            self.release(link)
            raise Refusal(503, "The cart went away.")
        self.brake.accepted(link.cart_id)
        loser = self.links.take(connection)
        if loser is connection:
            raise Refusal(503, "A newer connection of this cart was quicker.", retry_after=1)
        if loser is not None:
            loser.close(TAKEN_OVER, "a newer connection of this cart took over")
        self.links.watch(connection, self.monotonic())
        return filled

    async def _release_late(self, cart_id: int, done: "asyncio.Future[Filled | None]") -> None:
        try:
            filled = await done
        except (DuckyCartError, asyncio.CancelledError):
            return  # it never happened
        if filled is not None:
            await self._release(cart_id, filled.epoch)

    # A cart is connected

    def queued(self, effect: Queued) -> None:
        """A command was committed: offer it to whoever holds the cart here."""
        log_command("queued", effect.cart_id, effect.seq, effect.command, online=effect.node is not None)
        if effect.node == self.node:  # a link that was taken over elsewhere is not told
            for connection in tuple(self.links.of(effect.cart_id)):
                connection.offer(effect.seq, effect.command)

    def need_rows(self, connection: Connection, after_seq: int) -> None:
        """The link has a gap, or the sweep found it behind: read what it lacks."""
        self._spawn(self._fill(connection, after_seq))

    async def _fill(self, connection: Connection, after_seq: int) -> None:
        link = connection.link
        try:
            filled = await self._store.write(lambda tx: fill(tx, link.cart_id, link.epoch, after_seq), hurry=False)
        except Exception as error:
            link.fill_failed()  # whatever it was: a link that waits for rows for ever would be connected but deaf
            if not isinstance(error, DuckyCartError):
                raise
            log.warning("gap not filled, the sweep tries again", cart=link.cart_id, reason=error.code)
            return
        if filled is None:
            connection.close(TAKEN_OVER, "a newer connection of this cart took over")
        else:
            connection.fill(filled.rows, filled.through)

    def sent(self, link: Link, send: Send) -> None:
        self.receipts.sent(link, send)

    def read(self, link: Link, sent: tuple[Send, ...]) -> None:
        """The cart's socket read these."""
        self.receipts.received(link, sent)
        for send in sent:
            self._wake(link.cart_id, send.seq)

    def received(self, effect: Received) -> None:
        """A call of the cart was the receipt."""
        log_command("received", effect.cart_id, effect.seq, effect.command, by="call")
        self._wake(effect.cart_id, effect.seq)

    def answered(self, link: Link) -> None:
        """A pong came."""
        for probe in self._probes.get(link, ()):
            if not probe.done():
                probe.set_result(None)

    def tick(self) -> None:
        """Once a second: heartbeats, and links whose pong did not come."""
        now = self.monotonic()
        for connection in self.links.due(now):
            connection.tick()
            if not connection.gone:
                self.links.watch(connection, now)
        self.brake.forget_old()

    # A cart is gone

    def lost(self, connection: Connection) -> None:
        """The socket is closed, whoever closed it."""
        self.links.remove(connection)
        if connection.link.epoch:
            self.release(connection.link)

    def release(self, link: Link) -> None:
        self.receipts.flush()
        self._spawn(self._release(link.cart_id, link.epoch))

    async def _release(self, cart_id: int, epoch: int) -> None:
        try:
            await self._store.write(lambda tx: release(tx, cart_id, epoch), hurry=False)
        except DuckyCartError as error:
            if error.code != "stopping":  # the next start releases every link
                log.error("link not released, trying again", cart=cart_id, epoch=epoch, reason=error.code)
                self._unreleased.add((cart_id, epoch))

    def release_again(self) -> None:
        """What the database could not do when the connection was lost, or the cart would count as online for ever."""
        unreleased, self._unreleased = self._unreleased, set()
        for cart_id, epoch in unreleased:
            self._spawn(self._release(cart_id, epoch))

    # What became of a command

    async def delivery(self, cart_id: int, seq: int, wait_seconds: float) -> str:
        """queued, sent, received or superseded; waits up to `wait_seconds` for `received`."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiters = self._waiters[cart_id, seq]
        waiters.add(waiter)
        try:
            state = await self._state(cart_id, seq)
            if state in ("queued", "sent") and wait_seconds > 0:
                try:
                    async with asyncio.timeout(wait_seconds):
                        await waiter
                    return "received"
                except TimeoutError:
                    return await self._state(cart_id, seq)
            return state
        finally:
            waiters.discard(waiter)
            if not waiters:
                self._waiters.pop((cart_id, seq), None)

    async def _state(self, cart_id: int, seq: int) -> str:
        connection = self.links.current(cart_id)
        known = None if connection is None else self.receipts.state(connection.link, seq)
        if known is not None:
            return known  # here before it is in the row
        row = await self._store.read(
            lambda connection: connection.execute(_STATE, {"cart": cart_id, "of_seq": seq}).one_or_none()
        )
        return "queued" if row is None else str(row.state)

    def _wake(self, cart_id: int, seq: int) -> None:
        for waiter in self._waiters.get((cart_id, seq), ()):
            if not waiter.done():
                waiter.set_result(None)

    # The end of the server

    async def finish(self) -> None:
        """Every connection is closed: write what is left to write."""
        while self._tasks:
            await asyncio.gather(*self._tasks)
        await self.receipts.finish()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a cart's task failed, the sweep repairs it", exc_info=error)
