"""A cart reports more than its basket: weight that nobody scanned, notices, where it is."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import bindparam, insert, select, update

from duckycart.effects import AlarmKind, Happened, News, NewsKind
from duckycart.lifecycle.access import ByCart
from duckycart.lifecycle.carts import raise_alarm
from duckycart.lifecycle.sessions import change_session, lock_session, touch_session
from duckycart.store.prepared import prepared
from duckycart.store.tables import fraud_warnings, session_locations
from duckycart.store.transaction import Transaction

WEIGHT_CHANGES: Final = {kind.value: kind for kind in (NewsKind.WEIGHT_INCREASED, NewsKind.WEIGHT_DECREASED)}


@dataclass(frozen=True, slots=True)
class FraudWarning:
    id: int
    session_id: int
    type_of_warning: str
    created_at: int


@dataclass(frozen=True, slots=True)
class Location:
    session_id: int
    aisle_id: int
    created_at: int
    updated_at: int


_INSERT_WARNING: Final = prepared(
    insert(fraud_warnings).returning(fraud_warnings.c.id),
    *("session_id", "type_of_warning", "held", "created_at", "news_version"),
)
_WHERE: Final = prepared(
    select(session_locations.c.aisle_id, session_locations.c.created_at).where(
        session_locations.c.session_id == bindparam("session")
    )
)
_INSERT_LOCATION: Final = prepared(insert(session_locations), "session_id", "aisle_id", "created_at", "updated_at")
_MOVE: Final = prepared(
    update(session_locations)
    .where(session_locations.c.session_id == bindparam("session"))
    .values(aisle_id=bindparam("aisle"), updated_at=bindparam("at"))
)


def warn(tx: Transaction, cart: ByCart, session_id: int, type_of_warning: str) -> FraudWarning:
    """Keep a warning of the cart. Its screen hears of a weight change; while the cart holds, so does an operator.

    Any other text is a notice (a low battery, say): kept and logged. Raises NotFound for another's session, Conflict
    when it is over.
    """
    locked = lock_session(tx, cart, session_id)
    kind = WEIGHT_CHANGES.get(type_of_warning)
    version = 0 if kind is None else change_session(tx, session_id)
    warning_id: int = _INSERT_WARNING.scalar(
        tx.connection,
        session_id=session_id,
        type_of_warning=type_of_warning,
        held=locked.held,
        created_at=tx.now,
        news_version=version,
    )
    tx.effects.append(Happened("fraud_warning", cart.cart_id, session_id, {"type": type_of_warning}))
    if kind is not None:
        tx.effects.append(News(kind, cart.cart_id, session_id, version))
    if kind is not None and locked.held:
        raise_alarm(
            tx,
            AlarmKind[kind.name],
            f"The {kind} on cart {cart.cart_id} in session {session_id}, whose basket is held for its payment.",
            cart_id=cart.cart_id,
            session_id=session_id,
        )
    return FraudWarning(warning_id, session_id, type_of_warning, tx.now)


def notify_cart_update(tx: Transaction, cart: ByCart, session_id: int, barcode: int) -> None:
    """Ask the session's screens, for the cart, to look at the basket again. Raises NotFound, Conflict."""
    lock_session(tx, cart, session_id)
    version = change_session(tx, session_id)
    tx.effects.append(News(NewsKind.CART_UPDATED, cart.cart_id, session_id, version, barcode))


def locate(tx: Transaction, cart: ByCart, session_id: int, aisle_id: int) -> Location:
    """Write down where the cart is. Only a move is a sign of life: a cart left alone repeats its place.

    Raises NotFound for another's session, Conflict when it is over.
    """
    lock_session(tx, cart, session_id)
    before = _WHERE.one_or_none(tx.connection, session=session_id)
    if before is None:
        _INSERT_LOCATION.run(
            tx.connection, session_id=session_id, aisle_id=aisle_id, created_at=tx.now, updated_at=tx.now
        )
    else:
        _MOVE.run(tx.connection, session=session_id, aisle=aisle_id, at=tx.now)
    if before is None or before.aisle_id != aisle_id:
        touch_session(tx, session_id)
    return Location(session_id, aisle_id, tx.now if before is None else before.created_at, tx.now)
