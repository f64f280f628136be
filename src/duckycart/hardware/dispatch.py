"""Between the committed commands and the links of this node."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Coroutine
from typing import Any, Final

import structlog
from sqlalchemy import bindparam, select

from duckycart.bus.messages import TakenOver
from duckycart.bus.protocol import Bus
from duckycart.clock import Clock
from duckycart.errors import DuckyCartError
from duckycart.guards.turnstile import Turnstile
from duckycart.hardware.admission import A_TURN, INSIDE, Brake, Refusal
from duckycart.hardware.catchup import Filled, fill
from duckycart.hardware.claims import Claims
from duckycart.hardware.connections import Refusals
from duckycart.hardware.ending import Ended, Ending, Refused
from duckycart.hardware.lately import Lately
from duckycart.hardware.link import SILENCE_SECONDS, Link, Send
from duckycart.hardware.links import Connection, Links
from duckycart.hardware.receipts import Receipts, log_command
from duckycart.lifecycle.effects import Queued, Received
from duckycart.store.engine import Store
from duckycart.store.tables import commands as command_rows

log = structlog.get_logger()

CLAIM_SECONDS: Final = 6.0  # with PROBE_SECONDS before it: client libraries give up after 10
PROBE_SECONDS: Final = 3.0  # for an incumbent to show that it lives, before a newcomer past the brake is refused

LOOK_SECONDS: Final = 0.5  # between two looks at the row of a command that somebody waits for

_STATE: Final = select(command_rows.c.state).where(
    command_rows.c.cart_id == bindparam("cart"), command_rows.c.seq == bindparam("of_seq")
)


class Dispatch:
    """Claims connections, offers commands to them, and knows what became of a command."""

    def __init__(self, store: Store, clock: Clock, node: str, bus: Bus, *, handshakes: int, connects: int) -> None:
        self._store = store
        self._clock = clock
        self._bus = bus
        self.node = node  # in the carts' rows: this very process, so that no later one takes its links for its own
        self.links = Links()
        self.receipts = Receipts(store, clock)
        self._lately = Lately(clock.monotonic)
        self.brake = Brake(connects, clock.monotonic)
        self.draining = False
        self.handshaking = 0
        self.turnstile = Turnstile("carts", handshakes, lambda: self.handshaking, a_turn=A_TURN, most=INSIDE)
        self._tasks: set[asyncio.Task[None]] = set()
        self.claims = Claims(store, node, self._spawn)
        self.refusals = Refusals(store)
        self._waiters: defaultdict[tuple[int, int], set[asyncio.Future[None]]] = defaultdict(set)
        self._probes: dict[Link, set[asyncio.Future[None]]] = {}  # of pings that are not answered yet
        self._unfilled: dict[Connection, int] = {}  # the seq up to which rows could not be read

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

    async def connect(
        self, connection: Connection, key_hash: bytes | None, boot_id: str | None, address: str | None = None
    ) -> Filled:
        """Claim the cart for this connection. Returns what it must send first; raises Refusal.

        When this returns the connection is the cart's current one, and an older one here is closing.
        """
        if self.draining:
            raise Refusal(Refused.STOPPING, retry_after=2)
        self.handshaking += 1
        try:
            await self._pass_brake(connection.link.cart_id)
            return await self._claim(connection, key_hash, boot_id, address)
        finally:
            self.handshaking -= 1
            self.turnstile.go_on()

    async def _pass_brake(self, cart_id: int) -> None:
        retry_after = self.brake.retry_after(cart_id)
        if retry_after is None:
            return
        incumbent = self.links.current(cart_id)
        if incumbent is not None and not await self._answers(incumbent):
            return  # it is dead: the newcomer wins
        raise Refusal(Refused.TOO_OFTEN, retry_after=retry_after)

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
            waiting = self._probes.get(link, set())
            waiting.discard(answered)
            if not waiting:
                self._probes.pop(link, None)

    async def _claim(
        self, connection: Connection, key_hash: bytes | None, boot_id: str | None, address: str | None
    ) -> Filled:
        link = connection.link
        self.links.claiming(connection)
        try:
            async with asyncio.timeout(CLAIM_SECONDS):
                await self.receipts.written(link.cart_id)  # what the old link heard must not be sent again by this one
                filled = await self.claims.claim(connection, key_hash, boot_id, address)
        except (TimeoutError, asyncio.CancelledError, DuckyCartError) as error:
            self.links.unclaim(connection)
            if isinstance(error, asyncio.CancelledError) and not connection.gone:
                raise
            raise Refusal(Refused.NOT_CLAIMED, retry_after=2) from error
        if isinstance(filled, Refused):
            self.links.unclaim(connection)
            raise Refusal(filled)
        link.claimed(filled.epoch, filled.generation)
        self._lately.tell(link)
        if has := self._lately.among(link, filled.rows):  # whoever heard of it may have died before writing it
            self.receipts.received(link, has)
        if filled.previous_node not in (None, self.node):
            self._bus.tell(filled.previous_node, TakenOver(link.cart_id, filled.epoch))
        if connection.gone:
            self.links.unclaim(connection)
            self.release(link, Ending(Ended.NEVER_OPENED))
            raise Refusal(Refused.CART_LEFT)
        self.brake.accepted(link.cart_id)
        loser = self.links.take(connection)
        if loser is connection:
            raise Refusal(Refused.OVERTAKEN, retry_after=1)
        if loser is not None:
            loser.close(Ended.TAKEN_OVER)
        self.links.watch(connection, self.monotonic())
        return filled

    # A cart is connected

    def queued(self, effect: Queued) -> None:
        """A command was committed here: offer it to whoever holds the cart, on whichever node."""
        log_command("queued", effect.cart_id, effect.seq, effect.command, online=effect.node is not None)
        if effect.node == self.node:
            self.offered(effect)
        elif effect.node is not None:
            self._bus.tell(effect.node, effect)

    def offered(self, effect: Queued) -> None:
        """A command was committed, here or elsewhere, while this node held the cart: offer it to its links."""
        for connection in tuple(self.links.of(effect.cart_id)):
            connection.offer(effect.seq, effect.command)

    def taken_over(self, message: TakenOver) -> None:
        """Another node claimed the cart. A link of a later claim stays."""
        connection = self.links.current(message.cart_id)
        if connection is not None and connection.link.epoch < message.epoch:
            connection.close(Ended.TAKEN_OVER)

    def need_rows(self, connection: Connection, after_seq: int) -> None:
        """The link has a gap, or the sweep found it behind: read what it lacks."""
        self._spawn(self._fill(connection, after_seq))

    async def _fill(self, connection: Connection, after_seq: int) -> None:
        link = connection.link
        try:
            filled = await self._store.write(lambda tx: fill(tx, link.cart_id, link.epoch, after_seq), hurry=False)
        except Exception as error:
            # Whatever it was: a link that waits for rows for ever would be connected but deaf.
            self._unfilled[connection] = link.fill_failed()
            if not isinstance(error, DuckyCartError):
                raise
            log.warning("gap not filled, the sweep tries again", cart=link.cart_id, reason=error.code)
            return
        if filled is None:
            connection.close(Ended.TAKEN_OVER)
        else:
            connection.fill(filled.rows, filled.through)

    def fill_again(self) -> None:
        """Read what could not be read. Its rows may say `sent`, of an older link: no look at the rows finds it."""
        unfilled, self._unfilled = self._unfilled, {}
        for connection, seq in unfilled.items():
            connection.behind(seq)

    def sent(self, link: Link, send: Send) -> None:
        self.receipts.sent(link, send)

    def read(self, link: Link, sent: tuple[Send, ...]) -> None:
        """The cart's socket read these."""
        self.receipts.received(link, sent)
        for send in sent:
            self._wake_all(Received(link.cart_id, send.seq, send.command, link.generation))

    def received(self, effect: Received) -> None:
        """A call of the cart was the receipt."""
        log_command("received", effect.cart_id, effect.seq, effect.command, by="call")
        self._wake_all(effect)

    def answered(self, link: Link) -> None:
        """A pong came. Whoever asks from now on sends a ping of its own."""
        for probe in self._probes.pop(link, ()):
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
        self._lately.forget_old()

    # A cart is gone

    def lost(self, connection: Connection, ending: Ending) -> None:
        """The socket is closed, whoever closed it."""
        self.links.remove(connection)
        if connection.link.epoch:
            self.release(connection.link, ending)

    def release(self, link: Link, ending: Ending) -> None:
        self.receipts.flush()
        self.claims.release(link.cart_id, link.epoch, ending)

    # What became of a command

    async def delivery(self, cart_id: int, seq: int, wait_seconds: float) -> str:
        """queued, sent, received or superseded; waits up to `wait_seconds` for `received`."""
        loop = asyncio.get_running_loop()
        until = loop.time() + wait_seconds
        waiter: asyncio.Future[None] = loop.create_future()
        waiters = self._waiters[cart_id, seq]
        waiters.add(waiter)
        try:
            while True:
                state = await self._state(cart_id, seq)
                remaining = until - loop.time()
                if state not in ("queued", "sent") or remaining <= 0:
                    return state
                # The receipt may be another node's, and its word of it lost.
                done, _ = await asyncio.wait([waiter], timeout=min(remaining, LOOK_SECONDS))
                if done:
                    return "received"
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

    def wake(self, message: Received) -> None:
        """The command was received, here or elsewhere: whoever waits for that goes on, and no link says it again."""
        self._lately.received(message)
        for connection in self.links.of(message.cart_id):
            self._lately.tell(connection.link)
        for waiter in self._waiters.get((message.cart_id, message.seq), ()):
            if not waiter.done():
                waiter.set_result(None)

    def _wake_all(self, message: Received) -> None:
        self.wake(message)
        self._bus.tell_others(message)

    # The end of the server

    async def finish(self) -> None:
        """Every connection is closed: write what is left to write."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)  # `_ended` has logged them
        await self.receipts.finish()
        await self.refusals.write()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a cart's task failed, the sweep repairs it", exc_info=error)
