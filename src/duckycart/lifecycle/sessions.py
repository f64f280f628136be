"""A session begins with a scan and ends in one of four ways; each end frees the cart and tells it so."""

from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Connection, and_, bindparam, func, insert, select, update

from duckycart.effects import AlarmKind, Happened, News, NewsKind
from duckycart.lifecycle.access import SESSION_COLUMNS, SessionView, Who, find_session, session_of
from duckycart.lifecycle.carts import Cart, LockedCart, lock_with_phase, queue_command, raise_alarm
from duckycart.lifecycle.news import final_news
from duckycart.lifecycle.qr import refuse_unfit
from duckycart.lifecycle.rules import Rules
from duckycart.lifecycle.transitions import Event, Phase, decide
from duckycart.refusals import (
    BASKET_NOT_EMPTY,
    GUEST_ELSEWHERE,
    NO_ACTIVE_SESSION,
    QR_EXPIRED,
    QR_VOID,
    SHOPPER_HAS_SESSION,
    UNKNOWN_CART,
    USER_INACTIVE,
)
from duckycart.store.currency import fix_currency
from duckycart.store.prepared import Row, prepared
from duckycart.store.states import CartStatus, EndReason, PaymentState
from duckycart.store.tables import analytics, basket_lines, carts, commands, payments, sessions, users
from duckycart.store.transaction import Transaction
from duckycart.wire import CommandType


@dataclass(frozen=True, slots=True)
class Started:
    session: SessionView
    seq: int  # of its session_started


@dataclass(frozen=True, slots=True)
class Ended:
    session_id: int
    cart_id: int
    reason: EndReason
    seq: int  # of its end_session


_ACTIVE_OF_CART: Final = prepared(
    select(*SESSION_COLUMNS).where(sessions.c.cart_id == bindparam("cart"), sessions.c.is_active)
)
_STATUS: Final = prepared(
    select(carts.c.status, carts.c.out_of_service, carts.c.disabled, carts.c.session_id, sessions.c.user_id)
    .select_from(carts.outerjoin(sessions, sessions.c.id == carts.c.session_id))
    .where(carts.c.id == bindparam("cart"))
)
_SHOPPER: Final = prepared(
    select(
        users.c.is_active.label("may_shop"),
        users.c.email,
        users.c.guest_cart_id,
        users.c.guest_round,
        *(sessions.c.id, sessions.c.cart_id, sessions.c.qr_round, sessions.c.created_at),  # of the active one, if any
    )
    .select_from(users.outerjoin(sessions, and_(sessions.c.user_id == users.c.id, sessions.c.is_active)))
    .where(users.c.id == bindparam("user"))
)
_START_SEQ: Final = prepared(
    select(commands.c.seq).where(
        commands.c.session_id == bindparam("session"), commands.c.type == CommandType.SESSION_STARTED.value
    )
)
_INSERT: Final = prepared(
    insert(sessions).returning(sessions.c.id),
    *("cart_id", "user_id", "qr_round", "is_active", "version", "created_at", "touched_at", "touched_wall"),
)
_END: Final = prepared(
    update(sessions)
    .where(sessions.c.id == bindparam("session"))
    .values(
        is_active=False,
        ended_at=bindparam("at"),
        ended_steady=bindparam("steady"),
        end_reason=bindparam("reason"),
        version=sessions.c.version + 1,
    )
    .returning(sessions.c.user_id, sessions.c.created_at, sessions.c.version)
)
_touched = (
    update(sessions)
    .where(sessions.c.id == bindparam("session"))
    .values(touched_at=bindparam("steady"), touched_wall=bindparam("at"), idle_reported_at=None)
)
_TOUCH: Final = prepared(_touched)
_CHANGE: Final = prepared(_touched.values(version=sessions.c.version + 1).returning(sessions.c.version))
_INSERT_ANALYTICS: Final = prepared(insert(analytics), *analytics.columns.keys())
_totals = select(
    func.coalesce(func.sum(basket_lines.c.quantity), 0).label("units"),
    func.coalesce(func.sum(basket_lines.c.quantity * basket_lines.c.unit_price), 0).label("total"),
).where(basket_lines.c.session_id == bindparam("session"))
_TOTALS: Final = prepared(_totals)
_paid = select(func.coalesce(func.sum(payments.c.amount), 0)).where(
    payments.c.session_id == bindparam("session"), payments.c.state == PaymentState.PAID
)
_SUMMARY: Final = prepared(_totals.add_columns(_paid.scalar_subquery().label("paid")))


def touch_session(tx: Transaction, session_id: int) -> None:
    """Note a sign of life of the session."""
    _TOUCH.run(tx.connection, session=session_id, at=tx.now, steady=tx.steady)


def change_session(tx: Transaction, session_id: int) -> int:
    """Note a sign of life of the session, and that there is news. Returns the session's version with that news.

    The caller tells exactly one piece of news of this version: listeners wait for the one that they miss.
    """
    version: int = _CHANGE.scalar(tx.connection, session=session_id, at=tx.now, steady=tx.steady)
    return version


def basket_total(connection: Connection, session_id: int) -> tuple[int, int]:
    """Return how many units there are, and what they cost in minor units."""
    units, total = _TOTALS.one(connection, session=session_id)
    return int(units), int(total)


def create_session(
    tx: Transaction, cart_id: int, qr_round: int, expires_at: int, user_id: int, rules: Rules
) -> Started:
    """Start the session of a shopper who scanned the QR: the cart is in_use, every earlier QR void, `session_started`
    queued.

    The same shopper repeating the QR of a still active session gets that session again, and nothing new is queued
    (F38). Raises NotFound for an unknown cart; Gone for a QR that is expired or void; Conflict when the cart is in use
    or away, or when the shopper already has a session (its `session_id` and `cart_id` are in the error); Forbidden for
    a user who may not shop.
    """
    locked = lock_with_phase(tx, cart_id)
    cart = locked.cart
    shopper = _SHOPPER.one_or_none(tx.connection, user=user_id)
    if shopper is not None and (shopper.cart_id, shopper.qr_round) == (cart_id, qr_round):
        seq = _START_SEQ.scalar(tx.connection, session=shopper.id)
        session = SessionView(shopper.id, cart_id, user_id, True, shopper.created_at, None)
        return Started(session, seq)
    _refuse_void_qr(cart, locked.phase, qr_round, expires_at, tx.steady)
    outcome = decide(Event.CREATE_SESSION, locked.phase, cart_id=cart_id)
    refuse_unfit(cart, tx.steady, rules)
    if shopper is not None and shopper.id is not None:
        raise SHOPPER_HAS_SESSION(session_id=shopper.id, cart_id=shopper.cart_id)
    _refuse_user(shopper, cart_id, qr_round)
    assert outcome.command is not None
    fix_currency(tx, rules.currency)
    new = {"cart_id": cart_id, "user_id": user_id, "qr_round": qr_round, "is_active": True, "version": 1}
    times = {"created_at": tx.now, "touched_at": tx.steady, "touched_wall": tx.now}
    session_id: int = _INSERT.scalar(tx.connection, **new, **times)
    tx.effects.append(Happened(Event.CREATE_SESSION, cart_id, session_id, {"user": user_id}))
    busy = replace(cart, status=CartStatus.IN_USE, session_id=session_id, qr_round=cart.qr_round + 1, qr_expires_at=0)
    seq = queue_command(tx, busy, outcome.command, session_id)
    tx.effects.append(News(NewsKind.SESSION_STARTED, cart_id, session_id, 1))
    return Started(SessionView(session_id, cart_id, user_id, True, tx.now, None), seq)


def _refuse_void_qr(cart: Cart, phase: Phase, qr_round: int, expires_at: int, steady: int) -> None:
    if qr_round == cart.qr_round - 1 and phase is not Phase.AVAILABLE:
        return  # the loser of two phones on one QR: the table tells him that the cart is in use
    if qr_round != cart.qr_round:
        raise QR_VOID(cart_id=cart.id)
    if steady >= expires_at:
        raise QR_EXPIRED(cart_id=cart.id)


def _refuse_user(shopper: Row | None, cart_id: int, qr_round: int) -> None:
    if shopper is None or not shopper.may_shop:
        raise USER_INACTIVE()
    if shopper.email is None and (shopper.guest_cart_id, shopper.guest_round) != (cart_id, qr_round):
        raise GUEST_ELSEWHERE()


def finish_session(tx: Transaction, locked: LockedCart, event: Event, reason: EndReason, rules: Rules) -> Ended:
    """End the cart's session: it is inactive, the cart available, its analytics row written, then `end_session` queued,
    all in this transaction.

    Every end goes through here. Raises Conflict where the table refuses `event`.
    """
    cart = locked.cart
    outcome = decide(event, locked.phase, cart_id=cart.id)
    assert cart.session_id is not None
    assert outcome.command is not None
    session_id = cart.session_id
    user_id, started_at, version = _END.one(
        tx.connection, session=session_id, at=tx.now, steady=tx.steady, reason=reason
    )
    summary = _SUMMARY.one(tx.connection, session=session_id)
    _INSERT_ANALYTICS.run(
        tx.connection,
        session_id=session_id,
        cart_id=cart.id,
        user_id=user_id,
        started_at=started_at,
        ended_at=tx.now,
        end_reason=reason,
        units=int(summary.units),
        total=int(summary.total),
        paid=int(summary.paid),
        currency=fix_currency(tx, rules.currency).code,
    )
    tx.effects.append(Happened("finish_session", cart.id, session_id, {"reason": reason}))
    seq = queue_command(tx, replace(cart, status=CartStatus.AVAILABLE, session_id=None), outcome.command, session_id)
    tx.effects.append(final_news(cart.id, session_id, version, reason))
    return Ended(session_id, cart.id, reason, seq)


def lock_session(tx: Transaction, who: Who, session_id: int) -> LockedCart:
    """Lock the session's cart. Raises NotFound for another's session, Conflict when it is over."""
    session = find_session(tx.connection, who, session_id)
    locked = lock_with_phase(tx, session.cart_id)
    if locked.cart.session_id != session_id:
        decide(Event.END_BY_SHOPPER, Phase.AVAILABLE, session_id=session_id)
    return locked


def end_session(tx: Transaction, who: Who, session_id: int, rules: Rules) -> Ended:
    """End a session for its shopper, who has an empty basket. Raises NotFound, or Conflict with the reason."""
    locked = lock_session(tx, who, session_id)
    decide(Event.END_BY_SHOPPER, locked.phase, session_id=session_id)
    if basket_total(tx.connection, session_id)[0]:
        raise BASKET_NOT_EMPTY(session_id=session_id)
    return finish_session(tx, locked, Event.END_BY_SHOPPER, EndReason.ENDED, rules)


def force_end(tx: Transaction, who: Who, session_id: int, rules: Rules) -> Ended:
    """End a session for an operator, whatever its state. A payment still open is cancelled at its provider by a
    sweep."""
    return finish_session(tx, lock_session(tx, who, session_id), Event.END_BY_FORCE, EndReason.FORCED, rules)


def idle_sessions(connection: Connection, steady: int, rules: Rules) -> list[tuple[int, int]]:
    """Return (session, cart) of what has shown no sign of life for too long and was not yet reported."""
    rows = connection.execute(
        select(sessions.c.id, sessions.c.cart_id)
        .where(
            sessions.c.is_active,
            sessions.c.touched_at < steady - rules.idle_seconds * 1000,
            sessions.c.idle_reported_at.is_(None),
        )
        .limit(200)
    )
    return [(row.id, row.cart_id) for row in rows]


def end_if_idle(tx: Transaction, session_id: int, cart_id: int, rules: Rules) -> Ended | None:
    """End an idle session with an empty basket; tell an operator, once, of one that is not empty (F40).

    Judged again under the lock: a shopper who came back in the meantime keeps the session.
    """
    locked = lock_with_phase(tx, cart_id)
    if locked.cart.session_id != session_id or not _still_idle(tx, session_id, rules):
        return None
    if locked.phase is Phase.SHOPPING and not basket_total(tx.connection, session_id)[0]:
        return finish_session(tx, locked, Event.END_IDLE, EndReason.IDLE, rules)
    tx.connection.execute(update(sessions).where(sessions.c.id == session_id).values(idle_reported_at=tx.now))
    raise_alarm(
        tx,
        AlarmKind.SESSION_IDLE,
        f"Session {session_id} on cart {cart_id} has shown no sign of life for {rules.idle_seconds} s "
        "and its basket is not empty or its payment is open.",
        cart_id=cart_id,
        session_id=session_id,
    )
    return None


def _still_idle(tx: Transaction, session_id: int, rules: Rules) -> bool:
    """Return whether the session is idle still, and not reported yet: another node may have been quicker."""
    touched_at, reported_at = tx.connection.execute(
        select(sessions.c.touched_at, sessions.c.idle_reported_at).where(sessions.c.id == session_id)
    ).one()
    return bool(touched_at < tx.steady - rules.idle_seconds * 1000) and reported_at is None


def active_session(connection: Connection, cart_id: int) -> SessionView:
    """Return the cart's active session. Raises NotFound when there is none."""
    row = _ACTIVE_OF_CART.one_or_none(connection, cart=cart_id)
    if row is None:
        raise NO_ACTIVE_SESSION(cart_id=cart_id)
    return session_of(row)


def cart_status(connection: Connection, cart_id: int) -> dict[str, Any]:
    """Return the cart's status as fielded clients read it; `out_of_service` is derived. Raises NotFound."""
    row = _STATUS.one_or_none(connection, cart=cart_id)
    if row is None:
        raise UNKNOWN_CART(cart_id=cart_id)
    return {
        "cart_id": cart_id,
        "status": "out_of_service" if row.out_of_service or row.disabled else row.status,
        "has_active_session": row.session_id is not None,
        "session_id": row.session_id,
        "user_id": row.user_id,
    }
