"""A cart's row is its lock, says its phase, and counts its commands."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import and_, bindparam, insert, select, text, update

from duckycart.effects import Alarm, AlarmKind, Queued
from duckycart.lifecycle.transitions import Phase
from duckycart.refusals import UNKNOWN_CART
from duckycart.store.prepared import Row, prepared, together
from duckycart.store.states import OPEN_PAYMENTS, CartStatus, PaymentState, is_in
from duckycart.store.tables import alarms, carts, commands, payments, sessions
from duckycart.store.transaction import Transaction
from duckycart.wire import Command, CommandType

OPEN: Final = text(is_in("payments.state", OPEN_PAYMENTS))  # as the partial index has it

CART_COLUMNS: Final = (
    carts.c.id,
    carts.c.disabled,
    carts.c.out_of_service,
    carts.c.status,
    carts.c.session_id,
    carts.c.qr_round,
    carts.c.qr_expires_at,
    carts.c.last_seq,
    carts.c.link_epoch,
    carts.c.link_node,
    carts.c.link_changed_at,
    carts.c.boot_generation,
)
# SQLite has one writer, and no word for a row's lock. A key that refers to the row may be written meanwhile.
LOCKED: Final = select(*CART_COLUMNS).with_for_update(key_share=True, of=carts)
_LOCK: Final = prepared(LOCKED.where(carts.c.id == bindparam("cart")))
_PHASE: Final = prepared(
    select(sessions.c.held_at, payments.c.state)
    .select_from(sessions.outerjoin(payments, and_(payments.c.session_id == sessions.c.id, OPEN)))
    .where(sessions.c.id == bindparam("session"))
)
_QUEUE: Final = together(
    prepared(
        update(carts)
        .where(carts.c.id == bindparam("cart"))
        .values(
            last_seq=bindparam("new_seq"),
            status=bindparam("new_status"),
            session_id=bindparam("new_session"),
            qr_round=bindparam("new_round"),
            qr_expires_at=bindparam("new_expiry"),
        )
    ),
    prepared(insert(commands), "cart_id", "seq", "type", "session_id", "attempted", "boot_generation", "queued_at"),
)


@dataclass(frozen=True, slots=True)
class Cart:
    """A cart's row as it was when its lock was taken; the fields are those of `CART_COLUMNS`."""

    id: int
    disabled: bool
    out_of_service: bool
    status: CartStatus
    session_id: int | None
    qr_round: int
    qr_expires_at: int  # steady
    last_seq: int
    link_epoch: int
    link_node: str | None
    link_changed_at: int  # steady
    boot_generation: int

    def away_seconds(self, steady: int) -> float:
        """Return for how long no node has held a link of this cart; 0 while one does."""
        return 0.0 if self.link_node is not None else (steady - self.link_changed_at) / 1000


@dataclass(frozen=True, slots=True)
class LockedCart:
    """A locked cart and the phase that it is in."""

    cart: Cart
    phase: Phase
    held: bool  # payment_created was said in this session: the hold lasts to its end


def cart_of(row: Row) -> Cart:
    return Cart(
        id=row.id,
        disabled=row.disabled,
        out_of_service=row.out_of_service,
        status=CartStatus(row.status),
        session_id=row.session_id,
        qr_round=row.qr_round,
        qr_expires_at=row.qr_expires_at,
        last_seq=row.last_seq,
        link_epoch=row.link_epoch,
        link_node=row.link_node,
        link_changed_at=row.link_changed_at,
        boot_generation=row.boot_generation,
    )


def lock_cart(tx: Transaction, cart_id: int) -> Cart:
    """Take the cart's lock for the rest of the transaction. Raises NotFound."""
    row = _LOCK.one_or_none(tx.connection, cart=cart_id)
    if row is None:
        raise UNKNOWN_CART(cart_id=cart_id)
    return cart_of(row)


def lock_with_phase(tx: Transaction, cart_id: int) -> LockedCart:
    """Lock the cart and, in a later statement, read its phase. Raises NotFound."""
    return with_phase(tx, lock_cart(tx, cart_id))


def with_phase(tx: Transaction, cart: Cart) -> LockedCart:
    """Read the phase of a cart that is locked."""
    if cart.session_id is None:
        return LockedCart(cart, Phase.AVAILABLE, held=False)
    held_at, payment = _PHASE.one(tx.connection, session=cart.session_id)
    if payment == PaymentState.OPEN:
        phase = Phase.HELD
    elif payment == PaymentState.CREATING:
        phase = Phase.ASKING
    else:
        phase = Phase.SHOPPING if held_at is None else Phase.UNPAID
    return LockedCart(cart, phase, held=held_at is not None)


def queue_command(tx: Transaction, cart: Cart, command_type: CommandType, session_id: int | None) -> int:
    """Give the cart its next command; `cart` is its row as it shall be from now on. Returns the command's seq.

    The cart must be locked. `attempted` is set here when a node holds the link: that node may write the command to the
    socket at any moment after the commit.
    """
    seq = cart.last_seq + 1
    _QUEUE.run(
        tx.connection,
        cart=cart.id,
        new_seq=seq,
        new_status=cart.status,
        new_session=cart.session_id,
        new_round=cart.qr_round,
        new_expiry=cart.qr_expires_at,
        cart_id=cart.id,
        seq=seq,
        type=command_type.value,
        session_id=session_id,
        attempted=cart.link_node is not None,
        boot_generation=cart.boot_generation,
        queued_at=tx.now,
    )
    tx.effects.append(Queued(cart.id, seq, Command(command_type, session_id), cart.link_node))
    return seq


def raise_alarm(
    tx: Transaction, kind: AlarmKind, detail: str, *, cart_id: int | None = None, session_id: int | None = None
) -> None:
    """Write down what an operator must look at."""
    tx.connection.execute(
        insert(alarms).values(at=tx.now, kind=kind, cart_id=cart_id, session_id=session_id, detail=detail)
    )
    tx.effects.append(Alarm(kind, detail, cart_id, session_id))
