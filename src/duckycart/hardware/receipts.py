"""Receipts go from the links back to the commands' rows.

`sent` and `received` are written in batches; the receipt of a `session_started` at once, because carts exist that wipe
their basket when they hear it twice (F30). A receipt is a fact before it is written, and while the database refuses it:
so what was received is remembered for longer than it takes into its row, and no claim that reads the row meanwhile has
its command sent again.
"""

import asyncio
from collections.abc import Awaitable
from typing import Final, NamedTuple, cast

import structlog
from sqlalchemy import Boolean, bindparam, case, func, update

from duckycart.clock import Clock
from duckycart.effects import Received
from duckycart.errors import DuckyCartError
from duckycart.hardware.link import Link, Send
from duckycart.lifecycle.boots import note_heard
from duckycart.refusals import STOPPING
from duckycart.store.prepared import prepared
from duckycart.store.states import CommandState
from duckycart.store.tables import OUTSTANDING, commands
from duckycart.store.transaction import Store, Transaction
from duckycart.wire import Command, CommandType

log = structlog.get_logger()

BATCH_SECONDS: Final = 0.05
KEPT_SECONDS: Final = 60.0  # far longer than a receipt takes into its row, or never gets there

_WRITE: Final = prepared(
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
        boot_generation=case(
            (
                bindparam("may_be_another_s", type_=Boolean),
                func.coalesce(commands.c.read_by, commands.c.boot_generation),
            ),
            else_=commands.c.boot_generation,
        ),
    )
)


class OfBoot(NamedTuple):
    """A command, and the boot of its cart that it was sent to."""

    cart_id: int
    seq: int
    generation: int


class Times(NamedTuple):
    """When a command was sent and received; None while it is not."""

    sent_at: int
    received_at: int | None
    by_itself: bool = False  # its boot read it; else that only has no need of it, and another may have read it


Pending = dict[OfBoot, Times]


class Highest(NamedTuple):
    """The seq up to which a boot of a cart has received everything, and when that was heard of (monotonic)."""

    seq: int
    heard_at: float


_NOTHING: Final = Highest(0, 0.0)


def log_command(became: str, cart_id: int, seq: int, command: Command, **more: str | bool) -> None:
    """Write the one line of the log that says what became of a command."""
    log.info(f"command {became}", cart=cart_id, seq=seq, type=command.type, session=command.session_id, **more)


class Receipts:
    """Gathers what links report, and writes it into the commands' rows. A receipt counts however late it is written."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._pending: Pending = {}
        self._timer: asyncio.TimerHandle | None = None
        self._writes: dict[asyncio.Task[None], Pending] = {}  # handed over, not committed yet
        self._highest: dict[tuple[int, int], Highest] = {}  # by cart and generation, of all nodes

    def sent(self, link: Link, send: Send) -> None:
        self._add(self._pending, {OfBoot(link.cart_id, send.seq, link.generation): Times(self._clock.now(), None)})
        log_command(CommandState.SENT, link.cart_id, send.seq, send.command)
        self._later()

    def received(self, link: Link, read: tuple[Send, ...], known: int = 0) -> None:
        """The link's boot has read these. Of ends before what was `known` of it without this link, it may have had no
        need: then they were another's."""
        now = self._clock.now()
        at_once = False
        heard = self.known(link)  # of this very command a call was the receipt, and the log has it
        for send in read:
            by_itself = send.seq >= known or send.command.type is not CommandType.END_SESSION
            self._add(self._pending, {OfBoot(link.cart_id, send.seq, link.generation): Times(now, now, by_itself)})
            at_once |= send.command.type is CommandType.SESSION_STARTED
            if known or send.seq != heard:
                log_command(CommandState.RECEIVED, link.cart_id, send.seq, send.command)
        if at_once:
            self.flush()
        else:
            self._later()

    def has_heard(self, message: Received) -> bool:
        """Return whether it is known already that a boot of the cart has this command."""
        return message.seq <= self._highest.get((message.cart_id, message.generation), _NOTHING).seq

    def heard(self, message: Received) -> None:
        """Note that a boot of the cart has everything up to the message's seq, as a call or a link of any node says."""
        boot = message.cart_id, message.generation
        seq = max(message.seq, self._highest.get(boot, _NOTHING).seq)
        self._highest[boot] = Highest(seq, self._clock.monotonic())

    def known(self, link: Link) -> int:
        """Return the seq up to which the link's boot has everything, whatever the rows say; 0 if that is for them to
        say."""
        return self._highest.get((link.cart_id, link.generation), _NOTHING).seq

    def forget_old(self) -> None:
        """Forget what `heard` noted long ago; called now and then, so that churn leaves nothing behind (F06)."""
        old = self._clock.monotonic() - KEPT_SECONDS
        for boot in [boot for boot, highest in self._highest.items() if highest.heard_at < old]:
            del self._highest[boot]

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
        """Wait until everything heard of this cart is in its rows, or could not be written now."""
        if _has_some_of(self._pending, cart_id):  # those of others may wait for more: many carts ask at once
            self.flush()
        of_cart = [write for write, rows in self._writes.items() if _has_some_of(rows, cart_id)]
        if of_cart:
            await asyncio.wait(of_cart)

    def state(self, link: Link, seq: int) -> str | None:
        """Return `sent` or `received`, as far as that is known before it is in the row; None when the row knows all."""
        key = OfBoot(link.cart_id, seq, link.generation)
        known = [pending[key] for pending in (self._pending, *self._writes.values()) if key in pending]
        if not known:
            return None
        return CommandState.SENT if all(times.received_at is None for times in known) else CommandState.RECEIVED

    def has_all(self, link: Link) -> bool:
        """Return whether everything sent on this link is received, and in its rows."""
        under_way = (self._pending, *self._writes.values())
        return link.all_read and not any(_has_some_of(rows, link.cart_id) for rows in under_way)

    async def finish(self) -> None:
        """Write what is left, at the end of the server; once more, if the database was not there."""
        for _ in range(2):
            self.flush()
            await asyncio.gather(*self._writes)

    @staticmethod
    def _add(pending: Pending, more: Pending) -> None:
        """Add times to those that are pending: the first of each stays, and what was received stays received, since one
        command may be sent on two links."""
        for key, new in more.items():
            old = pending.get(key, Times(new.sent_at, None))
            received_at = new.received_at if old.received_at is None else old.received_at
            pending[key] = Times(old.sent_at, received_at, old.by_itself or new.by_itself)

    def _later(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(BATCH_SECONDS, self._flush_if_idle)

    def _flush_if_idle(self) -> None:
        """Flush unless a write is under way: in a storm several would take every writer, and shoppers none."""
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


def _has_some_of(pending: Pending, cart_id: int) -> bool:
    return any(key.cart_id == cart_id for key in pending)


def _write_rows(tx: Transaction, pending: Pending) -> None:
    # One statement for both and one order for all: catch-up locks the same rows, and nobody may wait in a circle.
    rows = [
        {
            "cart": key.cart_id,
            "of_seq": key.seq,
            "generation": key.generation,
            "became": CommandState.SENT if times.received_at is None else CommandState.RECEIVED,
            "sent": times.sent_at,
            "received": times.received_at,
            "may_be_another_s": times.received_at is not None and not times.by_itself,
        }
        for key, times in sorted(pending.items())
    ]
    if rows:
        _WRITE.many(tx.connection, rows)
    # Late, if another boot has the cart by now; when it is back, this one need not hear it again.
    heard: dict[tuple[int, int], int] = {}
    for key, times in pending.items():
        if times.received_at is not None:
            boot = key.cart_id, key.generation
            heard[boot] = max(key.seq, heard.get(boot, 0))
    note_heard(tx, heard)
