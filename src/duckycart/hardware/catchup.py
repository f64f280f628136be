"""One function decides what a cart has to hear now, whoever asks: a claim, a gap or the sweep.

A cart that comes back is brought to the present, not replayed the past.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import and_, bindparam, exists, literal, or_, select, update

from duckycart.effects import Superseded
from duckycart.hardware.link import Send
from duckycart.lifecycle.carts import Cart, lock_cart
from duckycart.store.states import CartStatus, CommandState
from duckycart.store.tables import OUTSTANDING, carts, commands
from duckycart.store.transaction import Transaction
from duckycart.wire import Command, CommandType


@dataclass(frozen=True, slots=True)
class Outstanding:
    """A command that is queued or sent, not received."""

    seq: int
    command: Command
    session_attempted: bool  # some command of its session may have reached the cart


@dataclass(frozen=True, slots=True)
class Filled:
    """What a link must send, and the seq up to which nothing else needs sending."""

    epoch: int
    generation: int
    rows: tuple[Send, ...]
    through: int
    previous_node: str | None = None  # of a claim: who held the link until now, None if nobody did


def catch_up(
    cart: Cart, outstanding: Sequence[Outstanding], steady: int
) -> tuple[list[Outstanding], list[Outstanding]]:
    """Divide outstanding commands, which are in the order of seq, into those to send and those that are void. Sent are:

    - `generate_qr`: the newest, if a QR of this round is still valid and the cart is available;
    - of a session that is over: its `end_session`, if any command of that session may have been sent. A spare one is
      harmless, a missing one leaves a cart in shopping mode (F31);
    - of the current session: all of it, of several `payment_created` the newest.
    """
    newest = {row.command.type: row.seq for row in outstanding}
    send: list[Outstanding] = []
    void: list[Outstanding] = []
    for row in outstanding:
        match row.command.type:
            case CommandType.GENERATE_QR:
                valid = cart.status is CartStatus.AVAILABLE and cart.qr_expires_at > steady
                keep = valid and row.seq == newest[CommandType.GENERATE_QR]
            case CommandType.END_SESSION:
                keep = row.session_attempted
            case CommandType.PAYMENT_CREATED:
                current = row.command.session_id == cart.session_id
                keep = current and row.seq == newest[CommandType.PAYMENT_CREATED]
            case CommandType.SESSION_STARTED:
                keep = row.command.session_id == cart.session_id
        (send if keep else void).append(row)
    return send, void


_of_session = commands.alias("of_session")
_OUTSTANDING: Final = (
    select(
        commands.c.cart_id,
        commands.c.seq,
        commands.c.type,
        commands.c.session_id,
        exists(literal(1))
        .where(_of_session.c.session_id == commands.c.session_id, _of_session.c.attempted)
        .label("session_attempted"),
    )
    .where(
        commands.c.cart_id.in_(bindparam("carts", expanding=True)),
        commands.c.seq > bindparam("after_seq"),
        OUTSTANDING,
    )
    # Receipts take no lock of the cart, so these rows are locked too: a receipt is either seen here or waits. All who
    # lock several commands do it in this order, or they would wait in a circle.
    .order_by(commands.c.cart_id, commands.c.seq)
    .with_for_update(key_share=True, of=commands)
)
_LOCK_COMMANDS: Final = _OUTSTANDING.with_only_columns(commands.c.seq)
_HAND_OUT: Final = (
    update(commands)
    .where(
        commands.c.cart_id == carts.c.id,
        carts.c.id.in_(bindparam("carts", expanding=True)),
        commands.c.seq > bindparam("after_seq"),
        OUTSTANDING,
    )
    .values(
        attempted=True,
        boot_generation=carts.c.boot_generation,
        several_boots=or_(
            commands.c.several_boots, and_(commands.c.attempted, commands.c.boot_generation != carts.c.boot_generation)
        ),
    )
)
_SUPERSEDE: Final = (
    update(commands)
    .where(commands.c.cart_id == bindparam("cart"), commands.c.seq == bindparam("of_seq"))
    .values(state=CommandState.SUPERSEDED)
)


def lock_outstanding(tx: Transaction, cart_ids: Collection[int]) -> None:
    """Take the locks of all outstanding commands of these carts, which are locked, in the one order."""
    tx.connection.execute(_LOCK_COMMANDS, {"carts": cart_ids, "after_seq": 0}).close()


def fill(tx: Transaction, cart_id: int, epoch: int, after_seq: int) -> Filled | None:
    """Hand out what a live link has not sent. Returns None when a newer connection owns the cart."""
    cart = lock_cart(tx, cart_id)
    return hand_out(tx, [cart], after_seq)[cart_id] if cart.link_epoch == epoch else None


def hand_out(tx: Transaction, locked: Collection[Cart], after_seq: int) -> dict[int, Filled]:
    """Return, for each of these locked carts, what a link that sent everything up to `after_seq` must send now."""
    if not locked:
        return {}
    outstanding: defaultdict[int, list[Outstanding]] = defaultdict(list)
    for row in tx.connection.execute(_OUTSTANDING, {"carts": [cart.id for cart in locked], "after_seq": after_seq}):
        command = Command(CommandType(row.type), row.session_id)
        outstanding[row.cart_id].append(Outstanding(row.seq, command, bool(row.session_attempted)))
    filled = {}
    handing_out = []
    dropped = []
    for cart in locked:
        send, void = catch_up(cart, outstanding.get(cart.id, ()), tx.steady)
        if send:
            handing_out.append(cart.id)
        dropped += [{"cart": cart.id, "of_seq": row.seq} for row in void]
        tx.effects.extend(Superseded(cart.id, row.seq) for row in void)
        rows = tuple(Send(row.seq, row.command) for row in send)
        filled[cart.id] = Filled(cart.link_epoch, cart.boot_generation, rows, cart.last_seq)
    if dropped:
        tx.connection.execute(_SUPERSEDE, dropped)
    if handing_out:  # everything that is outstanding still
        tx.connection.execute(_HAND_OUT, {"carts": handing_out, "after_seq": after_seq})
    return filled
