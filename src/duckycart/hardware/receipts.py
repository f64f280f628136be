"""What became of the commands: from the link back to their rows.

`sent` and `received` are written in batches; the receipt of a `session_started` at once, because carts exist that wipe
their basket when they hear it twice (F30).
"""

import asyncio
from collections.abc import Awaitable
from typing import Final, cast

import structlog
from sqlalchemy import bindparam, func, update

from duckycart.clock import Clock
from duckycart.errors import DuckyCartError
from duckycart.hardware.link import Link, Send
from duckycart.lifecycle.boots import note_heard
from duckycart.refusals import STOPPING
from duckycart.store.engine import Store, Transaction
from duckycart.store.tables import OUTSTANDING, commands
from duckycart.wire import Command, CommandType

log = structlog.get_logger()

BATCH_SECONDS: Final = 0.05

_WRITE: Final = (
    update(commands)
    .where(
        commands.c.cart_id == bindparam("cart"),
        commands.c.seq == bindparam("of_seq"),
        # Of the boot that heard it: another one has not, however late this receipt comes.
        commands.c.boot_generation == bindparam("generation"),
        OUTSTANDING,
        commands.c.state != bindparam("became"),
    )
    .values(
        state=bindparam("became"),
        sent_at=func.coalesce(commands.c.sent_at, bindparam("sent")),
        received_at=bindparam("received"),
    )
)


# (cart, seq, boot generation): when sent, when received
Pending = dict[tuple[int, int, int], tuple[int, int | None]]


def log_command(became: str, cart_id: int, seq: int, command: Command, **more: str | bool) -> None:
    """The one line that says what became of a command."""
    log.info(f"command {became}", cart=cart_id, seq=seq, type=command.type, session=command.session_id, **more)


class Receipts:
    """Gathers what links report, and writes it. A receipt is a fact and counts however late it is written."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._pending: Pending = {}
        self._timer: asyncio.TimerHandle | None = None
        self._writes: dict[asyncio.Task[None], Pending] = {}  # handed over, not committed yet

    def sent(self, link: Link, send: Send) -> None:
        self._add(self._pending, {(link.cart_id, send.seq, link.generation): (self._clock.now(), None)})
        log_command("sent", link.cart_id, send.seq, send.command)
        self._later()

    def received(self, link: Link, read: tuple[Send, ...]) -> None:
        now = self._clock.now()
        at_once = False
        for send in read:
            self._add(self._pending, {(link.cart_id, send.seq, link.generation): (now, now)})
            at_once |= send.command.type is CommandType.SESSION_STARTED
            log_command("received", link.cart_id, send.seq, send.command)
        if at_once:
            self.flush()
        else:
            self._later()

    def flush(self) -> None:
        """Hand everything gathered so far to the store."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._pending:
            pending, self._pending = self._pending, {}
            writing = self._store.write(lambda tx: _write_rows(tx, pending), hurry=False)
            write = asyncio.get_running_loop().create_task(self._watch(writing, pending))
            self._writes[write] = pending

    async def written(self, cart_id: int) -> None:
        """Return when everything heard of this cart is in its rows, or could not be written now."""
        if any(key[0] == cart_id for key in self._pending):  # those of others may wait for more: many carts ask at once
            self.flush()
        of_cart = [write for write, rows in self._writes.items() if any(key[0] == cart_id for key in rows)]
        if of_cart:
            await asyncio.wait(of_cart)

    def state(self, link: Link, seq: int) -> str | None:
        """`sent` or `received` as far as it is known here before it is in the row; None when the row knows all."""
        key = (link.cart_id, seq, link.generation)
        known = [pending[key] for pending in (self._pending, *self._writes.values()) if key in pending]
        if not known:
            return None
        return "sent" if all(received_at is None for _, received_at in known) else "received"

    def has_all(self, link: Link) -> bool:
        """Whether everything sent on this link is received, and in its rows."""
        under_way = (self._pending, *self._writes.values())
        return link.all_read and not any(key[0] == link.cart_id for rows in under_way for key in rows)

    async def finish(self) -> None:
        """Write what is left; for the end of the server. Once more, if the database was not there."""
        for _ in range(2):
            self.flush()
            await asyncio.gather(*self._writes)

    @staticmethod
    def _add(pending: Pending, more: Pending) -> None:
        """The first time of each stays, and what was received stays received: one command may be sent on two links."""
        for key, (sent_at, received_at) in more.items():
            sent_before, received_before = pending.get(key, (sent_at, None))
            pending[key] = sent_before, received_at if received_before is None else received_before

    def _later(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(BATCH_SECONDS, self._flush_if_idle)

    def _flush_if_idle(self) -> None:
        """One at a time of what may wait: in a storm they would take every writer, and shoppers none."""
        self._timer = None
        if not self._writes:
            self.flush()

    async def _watch(self, writing: Awaitable[None], pending: Pending) -> None:
        stopping = False
        try:
            await writing
        except DuckyCartError as error:
            # The commands stay outstanding: the cart hears them again on its next connection, unless this succeeds.
            log.error("receipts not written, trying again", count=len(pending), reason=error.code)
            self._add(self._pending, pending)
            stopping = error.refusal is STOPPING
        except Exception:
            log.exception("receipts lost")
        # In the step that looks whether more waits: between the two, a timer could find this write and leave the rest.
        del self._writes[cast("asyncio.Task[None]", asyncio.current_task())]
        if self._pending and not stopping:
            self._later()


def _write_rows(tx: Transaction, pending: Pending) -> None:
    # One statement for both and one order for all: catch-up locks the same rows, and nobody may wait in a circle.
    rows = [
        {
            "cart": cart_id,
            "of_seq": seq,
            "generation": generation,
            "became": "sent" if received_at is None else "received",
            "sent": sent_at,
            "received": received_at,
        }
        for (cart_id, seq, generation), (sent_at, received_at) in sorted(pending.items())
    ]
    if rows:
        tx.connection.execute(_WRITE, rows)
    # Late, if another boot has the cart by now; when it is back, this one need not hear it again.
    heard: dict[tuple[int, int], int] = {}
    for (cart_id, seq, generation), (_, received_at) in pending.items():
        if received_at is not None:
            heard[cart_id, generation] = max(seq, heard.get((cart_id, generation), 0))
    note_heard(tx, heard)
