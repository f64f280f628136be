"""Dispatch brings committed commands to the links of their carts, on whichever node, and knows what became of each."""

import asyncio
from collections import defaultdict
from typing import Final

import structlog
from sqlalchemy import bindparam, select

from duckycart.bus.protocol import Bus
from duckycart.effects import Queued, Received
from duckycart.errors import DuckyCartError
from duckycart.hardware.background import Background
from duckycart.hardware.catchup import fill
from duckycart.hardware.ending import Ended
from duckycart.hardware.link import Link, Send
from duckycart.hardware.links import Connection, Links
from duckycart.hardware.receipts import Receipts, log_command
from duckycart.store.prepared import prepared
from duckycart.store.states import OUTSTANDING_COMMANDS, CommandState
from duckycart.store.tables import commands
from duckycart.store.transaction import Store

log = structlog.get_logger()

LOOK_SECONDS: Final = 0.5  # between two looks at the row of a command that somebody waits for

_STATE: Final = prepared(
    select(commands.c.state).where(commands.c.cart_id == bindparam("cart"), commands.c.seq == bindparam("of_seq"))
)


class Dispatch:
    """Offers commands to the links of this node, hands their receipts on, and tells what became of a command."""

    def __init__(
        self, store: Store, node: str, bus: Bus, links: Links, receipts: Receipts, background: Background
    ) -> None:
        self._store = store
        self._bus = bus
        self.background = background
        self.node = node
        self.links = links
        self.receipts = receipts
        self._waiters: defaultdict[tuple[int, int], set[asyncio.Future[None]]] = defaultdict(set)  # by cart and seq
        self._unfilled: dict[Connection, int] = {}  # the seq up to which rows could not be read

    # From the commit to the link

    def queued(self, effect: Queued) -> None:
        """Offer a command that this process committed to whoever holds the cart, on whichever node."""
        log_command(CommandState.QUEUED, effect.cart_id, effect.seq, effect.command, online=effect.node is not None)
        if effect.node == self.node:
            self.offered(effect)
        elif effect.node is not None:
            self._bus.tell(effect.node, effect)

    def offered(self, effect: Queued) -> None:
        """Offer a command, committed on any node while this one held the cart, to the cart's links."""
        for connection in tuple(self.links.of(effect.cart_id)):
            connection.offer(effect.seq, effect.command)

    def need_rows(self, connection: Connection, after_seq: int) -> None:
        """Read the rows that a link lacks, because it has a gap or the sweep found it behind."""
        self.background.begin(self._fill(connection, after_seq))

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
        """Read again the rows that could not be read. They may say `sent`, of an older link: no sweep of the rows finds
        them."""
        unfilled, self._unfilled = self._unfilled, {}
        for connection, seq in unfilled.items():
            connection.behind(seq)

    # From the link to the row

    def sent(self, link: Link, send: Send) -> None:
        """Note that the command was written to the cart's socket."""
        self.receipts.sent(link, send)

    def read(self, link: Link, sent: tuple[Send, ...]) -> None:
        """Note that the cart's socket read these commands, and tell all nodes."""
        self.receipts.received(link, sent)
        for send in sent:
            self._wake_all(Received(link.cart_id, send.seq, send.command, link.generation))

    def received(self, effect: Received) -> None:
        """Note that a call of the cart was the command's receipt, and tell all nodes."""
        if not self.receipts.has_heard(effect):  # its pong may be heard of before it is in the row
            log_command(CommandState.RECEIVED, effect.cart_id, effect.seq, effect.command, by="call")
        self._wake_all(effect)

    def _wake_all(self, message: Received) -> None:
        self.wake(message)
        self._bus.tell_others(message)

    def wake(self, message: Received) -> None:
        """Let those go on who wait for this receipt, of any node, and keep links from sending the command again."""
        self.receipts.heard(message)
        for connection in self.links.of(message.cart_id):
            connection.link.known(self.receipts.known(connection.link))
        for waiter in self._waiters.get((message.cart_id, message.seq), ()):
            if not waiter.done():
                waiter.set_result(None)

    # What became of a command

    async def delivery(self, cart_id: int, seq: int, wait_seconds: float) -> str:
        """Return the command's state: queued, sent, received or superseded; waits up to `wait_seconds` for
        `received`."""
        loop = asyncio.get_running_loop()
        until = loop.time() + wait_seconds
        waiter: asyncio.Future[None] = loop.create_future()
        waiters = self._waiters[cart_id, seq]
        waiters.add(waiter)
        try:
            while True:
                state = await self._state(cart_id, seq)
                remaining = until - loop.time()
                if state not in OUTSTANDING_COMMANDS or remaining <= 0:
                    return state
                # The receipt may be another node's, and its word of it lost.
                done, _ = await asyncio.wait([waiter], timeout=min(remaining, LOOK_SECONDS))
                if done:
                    return CommandState.RECEIVED
        finally:
            waiters.discard(waiter)
            if not waiters:
                self._waiters.pop((cart_id, seq), None)

    async def _state(self, cart_id: int, seq: int) -> str:
        connection = self.links.current(cart_id)
        known = None if connection is None else self.receipts.state(connection.link, seq)
        if known is not None:
            return known  # before it is in the row
        state = await self._store.look_up(
            lambda connection: _STATE.scalar_or_none(connection, cart=cart_id, of_seq=seq)
        )
        return CommandState.QUEUED if state is None else CommandState(state)

    # The end of the server

    async def finish(self) -> None:
        """Write what is left to write, once every connection is closed."""
        await self.background.finish()
        await self.receipts.finish()
