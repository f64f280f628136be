"""A payment is created, opened at the provider, and settled or closed.

The provider is asked between two transactions, never inside one. Every step may be repeated, by a retry, by another
node, by the reconciler after a crash, and leads to the same end.
"""

from dataclasses import dataclass
from secrets import token_hex
from typing import Any, Final

from sqlalchemy import Connection, and_, bindparam, func, insert, or_, select, text, update

from duckycart.effects import AlarmKind, Happened, News, NewsKind
from duckycart.lifecycle.access import Who, find_session
from duckycart.lifecycle.basket import require_items
from duckycart.lifecycle.carts import (
    LOCKED,
    OPEN,
    LockedCart,
    cart_of,
    lock_with_phase,
    queue_command,
    raise_alarm,
    with_phase,
)
from duckycart.lifecycle.news import CANCELLED, DECLINED
from duckycart.lifecycle.rules import Rules
from duckycart.lifecycle.sessions import basket_total, change_session, finish_session, touch_session
from duckycart.lifecycle.transitions import Event, Phase, decide
from duckycart.providers.protocol import OpenedPayment
from duckycart.refusals import NO_PAYMENT, NO_SUCH_PAYMENT
from duckycart.store.currency import fix_currency
from duckycart.store.prepared import Prepared, Row, prepared
from duckycart.store.states import OPEN_PAYMENTS, EndReason, Heeded, PaymentState, is_in
from duckycart.store.tables import PAYMENT_STEADY, carts, payments, sessions
from duckycart.store.transaction import Transaction

_SETTLED: Final = (PaymentState.PAID, PaymentState.PAID_EXTRA)
FREE: Final = "free"  # stands for the provider of a payment of 0: nobody is asked, and nobody's webhook finds it


@dataclass(frozen=True, slots=True)
class Payment:
    id: int
    session_id: int
    provider: str
    token: str
    provider_ref: str | None
    url: str | None
    state: PaymentState
    amount: int  # minor units
    currency: str
    created_at: int  # steady


@dataclass(frozen=True, slots=True)
class Opened:
    payment: Payment
    cart_id: int
    seq: int | None  # of the payment_created, None when this call queued none


_COLUMNS: Final = (
    payments.c.id,
    payments.c.session_id,
    payments.c.provider,
    payments.c.token,
    payments.c.provider_ref,
    payments.c.url,
    payments.c.state,
    payments.c.amount,
    payments.c.currency,
    PAYMENT_STEADY.label("created_at"),
)


def _payment_of(row: Row) -> Payment:
    return Payment(
        id=row.id,
        session_id=row.session_id,
        provider=row.provider,
        token=row.token,
        provider_ref=row.provider_ref,
        url=row.url,
        state=PaymentState(row.state),
        amount=row.amount,
        currency=row.currency,
        created_at=row.created_at,
    )


_INSERT: Final = prepared(
    insert(payments).returning(*_COLUMNS),
    *("session_id", "provider", "token", "state", "method", "amount", "currency"),
    *("created_at", "created_steady", "news", "news_version"),
)
_BY_ID: Final = prepared(select(*_COLUMNS).where(payments.c.id == bindparam("payment")))
_BY_TOKEN: Final = prepared(select(*_COLUMNS).where(payments.c.token == bindparam("token")))
_BY_REF: Final = prepared(
    select(*_COLUMNS)
    .where(
        payments.c.provider == bindparam("by"),
        or_(payments.c.provider_ref == bindparam("ref"), payments.c.token == bindparam("ref")),
    )
    .limit(1)
)
_NEWEST_OF_SESSION: Final = prepared(
    select(*_COLUMNS).where(payments.c.session_id == bindparam("session")).order_by(payments.c.id.desc()).limit(1)
)
_cart_of = (  # which never changes
    select(sessions.c.cart_id)
    .join(payments, payments.c.session_id == sessions.c.id)
    .where(payments.c.id == bindparam("payment"))
)
_LOCK: Final = prepared(LOCKED.where(carts.c.id == _cart_of.scalar_subquery()))
_this = update(payments).where(payments.c.id == bindparam("payment"))
_OPEN: Final = prepared(
    _this.values(
        state=PaymentState.OPEN,
        provider_ref=bindparam("ref"),
        url=bindparam("pay_at"),
        opened_at=bindparam("at"),
        news=NewsKind.PAYMENT_CREATED.value,
        news_version=bindparam("version"),
    ).returning(*_COLUMNS)
)
_CLOSE: Final = prepared(
    _this.values(state=bindparam("new_state"), closed_at=bindparam("at")).returning(payments.c.news)
)
_FAILED: Final = prepared(_this.values(news=NewsKind.PAYMENT_FAILED.value, news_version=bindparam("version")))
_KEEP_REF: Final = prepared(
    _this.where(text(is_in("state", (PaymentState.CREATING, PaymentState.FAILED)))).values(
        provider_ref=bindparam("ref")
    )
)
_HOLD: Final = prepared(
    update(sessions)
    .where(sessions.c.id == bindparam("session"))
    .values(held_at=func.coalesce(sessions.c.held_at, bindparam("at")), version=sessions.c.version + 1)
    .returning(sessions.c.version)
)


def _find(connection: Connection, statement: Prepared, **keys: int | str) -> Payment | None:
    row = statement.one_or_none(connection, **keys)
    return None if row is None else _payment_of(row)


def read_payment(connection: Connection, who: Who, session_id: int) -> Payment:
    """Return the session's newest payment. Raises NotFound for another's session or when it has none."""
    find_session(connection, who, session_id)
    payment = _find(connection, _NEWEST_OF_SESSION, session=session_id)
    if payment is None:
        raise NO_PAYMENT(session_id=session_id)
    return payment


def read_payment_by_token(connection: Connection, token: str) -> Payment:
    """Return the payment that a pay page's URL names. Raises NotFound."""
    payment = _find(connection, _BY_TOKEN, token=token)
    if payment is None:
        raise NO_SUCH_PAYMENT()
    return payment


def find_payment(connection: Connection, provider: str, ref: str) -> Payment | None:
    """Return the payment that this provider knows by that name: the provider's own, or the token it was given."""
    return _find(connection, _BY_REF, by=provider, ref=ref)


def create_payment(
    tx: Transaction, who: Who, session_id: int, provider: str, method: str | None, rules: Rules
) -> Payment:
    """Do the first half, before the provider is asked: freeze the basket and save a payment of its amount as
    `creating`. No command is queued yet.

    When one is being created or open already, that one is returned: the caller then does the rest, which repeats
    safely. So is one of 0 that ended its session (see `settle_free`). Raises NotFound for another's session; Conflict
    when it is over or its basket is empty.
    """
    session = find_session(tx.connection, who, session_id)
    locked = lock_with_phase(tx, session.cart_id)
    phase = _phase_in(locked, session_id, locked.phase)
    newest = _find(tx.connection, _NEWEST_OF_SESSION, session=session_id)
    if newest is not None and newest.provider == FREE:
        return newest
    decide(Event.BEGIN_PAYMENT, phase, session_id=session_id)
    if newest is not None and newest.state in OPEN_PAYMENTS:
        return newest
    units, total = basket_total(tx.connection, session_id)
    require_items(units, session_id)
    values: dict[str, Any] = {
        "session_id": session_id,
        "provider": provider if total else FREE,
        "token": token_hex(16),
        "state": PaymentState.CREATING,
        "method": method,
        "amount": total,
        "currency": fix_currency(tx, rules.currency).code,
        "created_at": tx.now,
        "created_steady": tx.steady,
        "news": None,
        "news_version": 0,
    }
    news = None
    if newest is None:
        touch_session(tx, session_id)
    else:
        version = change_session(tx, session_id)
        news = News(NewsKind.PAYMENT_RETRYING, session.cart_id, session_id, version)
        values |= {"news": news.kind.value, "news_version": version}
    payment = _INSERT.one(tx.connection, **values)
    tx.effects.append(
        Happened(Event.BEGIN_PAYMENT, session.cart_id, session_id, {"payment": payment.id, "amount": total})
    )
    if news is not None:
        tx.effects.append(news)
    return _payment_of(payment)


def open_payment(tx: Transaction, payment_id: int, opened: OpenedPayment) -> Opened:
    """Do the second half, now that the provider has the payment: save it as open and queue `payment_created`.

    Somebody else may have done it first, or its webhook was quicker: then nothing is queued. Raises Conflict when the
    payment is no longer being created (failed, or its session is over): the caller cancels it at the provider, after
    `keep_ref`.
    """
    payment, locked = _lock_payment(tx, payment_id)
    session_id = payment.session_id
    if payment.state in (PaymentState.OPEN, *_SETTLED):
        return Opened(payment, locked.cart.id, None)
    phase = Phase.SHOPPING if payment.state is not PaymentState.CREATING else locked.phase
    outcome = decide(Event.OPEN_PAYMENT, _phase_in(locked, session_id, phase), session_id=session_id)
    assert outcome.command is not None
    version = _HOLD.scalar(tx.connection, session=session_id, at=tx.now)
    row = _OPEN.one(tx.connection, payment=payment_id, ref=opened.ref, pay_at=opened.url, at=tx.now, version=version)
    tx.effects.append(
        Happened(Event.OPEN_PAYMENT, locked.cart.id, session_id, {"payment": payment_id, "amount": payment.amount})
    )
    seq = queue_command(tx, locked.cart, outcome.command, session_id)
    tx.effects.append(News(NewsKind.PAYMENT_CREATED, locked.cart.id, session_id, version))
    return Opened(_payment_of(row), locked.cart.id, seq)


def settle_free(tx: Transaction, payment: Payment, url: str, rules: Rules) -> Opened:
    """Open and settle a payment of 0 in the transaction that creates it, `payment_created` before `end_session`.

    No provider is asked, so no step between them can fail or be seen. `url` is the page that says so.
    """
    opened = open_payment(tx, payment.id, OpenedPayment(payment.token, url))
    settle_payment(tx, payment.id, 0, payment.currency, rules)
    paid = _find(tx.connection, _BY_ID, payment=payment.id)
    assert paid is not None
    return Opened(paid, opened.cart_id, opened.seq)


def fail_payment(tx: Transaction, payment_id: int) -> None:
    """Fail a payment that the provider refused: the basket is free again (unless it was held before), and the cart
    hears nothing.

    Changes nothing when somebody else's attempt at the same payment succeeded.
    """
    _close(tx, payment_id, Event.FAIL_PAYMENT, PaymentState.FAILED, (PaymentState.CREATING,))


def keep_ref(tx: Transaction, payment_id: int, ref: str) -> None:
    """Keep the provider's name of a payment that exists there, but shall not be opened here any more.

    Nobody wants the payment now, or it failed here because two asked and only one was refused. While it has that name
    it is not over (F37): the reconciler cancels it, `failed` or not, and a webhook finds it. Changes nothing in any
    other state.
    """
    _lock_payment(tx, payment_id)
    _KEEP_REF.run(tx.connection, payment=payment_id, ref=ref)


def close_payment(tx: Transaction, payment_id: int) -> None:
    """Close a payment that was cancelled at the provider. The hold stays; another payment may be created."""
    _close(tx, payment_id, Event.CLOSE_PAYMENT, PaymentState.CANCELLED, (*OPEN_PAYMENTS, PaymentState.FAILED))


def _close(
    tx: Transaction, payment_id: int, event: Event, state: PaymentState, only_from: tuple[PaymentState, ...]
) -> None:
    payment, locked = _lock_payment(tx, payment_id)
    if payment.state not in only_from:
        return
    decide(event, _phase_in(locked, payment.session_id, locked.phase))
    last_news = _CLOSE.scalar(tx.connection, payment=payment_id, new_state=state, at=tx.now)
    tx.effects.append(Happened(event, locked.cart.id, payment.session_id, {"payment": payment_id}))
    if payment.state is PaymentState.FAILED:
        return  # its failure was told when it failed
    if payment.state is PaymentState.OPEN or last_news is not None:
        _tell_failure(tx, locked, payment, DECLINED if state is PaymentState.FAILED else CANCELLED)
    else:
        _tell_change(tx, locked, payment)


def decline_payment(tx: Transaction, payment_id: int) -> Heeded:
    """Tell the listeners that the shopper's bank refused; the payment stays open for another try. Returns `declined`,
    or `ignored` when it is over."""
    payment, locked = _lock_payment(tx, payment_id)
    if payment.state not in OPEN_PAYMENTS:
        return Heeded.IGNORED
    tx.effects.append(Happened("payment_declined", locked.cart.id, payment.session_id, {"payment": payment_id}))
    _tell_failure(tx, locked, payment, DECLINED)
    return Heeded.DECLINED


def _tell_failure(tx: Transaction, locked: LockedCart, payment: Payment, message: str) -> None:
    """Tell the session's listeners that its payment failed, if the session still lasts."""
    if locked.cart.session_id == payment.session_id:
        version = change_session(tx, payment.session_id)
        _FAILED.run(tx.connection, payment=payment.id, version=version)
        data = {"message": message}
        tx.effects.append(News(NewsKind.PAYMENT_FAILED, locked.cart.id, payment.session_id, version, data))


def _tell_change(tx: Transaction, locked: LockedCart, payment: Payment) -> None:
    """Tell the listeners to look again: none has heard of this payment, but who looked meanwhile saw it being
    created."""
    if locked.cart.session_id == payment.session_id:
        version = change_session(tx, payment.session_id)
        tx.effects.append(News(NewsKind.CART_UPDATED, locked.cart.id, payment.session_id, version))


def settle_payment(tx: Transaction, payment_id: int, amount: int | None, currency: str | None, rules: Rules) -> Heeded:
    """Settle a payment that was paid, and end its session with it, once (F09); returns `settled`, `repeated`,
    `mismatch` or `paid_extra`.

    A different amount or currency settles nothing and raises an alarm (F17). A success for a closed payment settles if
    its session is active and the amount is still the basket's; else it is recorded as paid extra, with an alarm (F37).
    """
    payment, locked = _lock_payment(tx, payment_id)
    session_id = payment.session_id
    if payment.state in _SETTLED:
        return Heeded.REPEATED
    if (amount, currency) != (payment.amount, payment.currency):
        raise_alarm(
            tx,
            AlarmKind.PAYMENT_MISMATCH,
            f"Payment {payment_id} of {payment.amount} {payment.currency} was reported paid with {amount} {currency}.",
            cart_id=locked.cart.id,
            session_id=session_id,
        )
        return Heeded.MISMATCH
    active = locked.cart.session_id == session_id
    fits = active and (payment.state in OPEN_PAYMENTS or basket_total(tx.connection, session_id)[1] == payment.amount)
    state = PaymentState.PAID if fits else PaymentState.PAID_EXTRA
    _CLOSE.run(tx.connection, payment=payment_id, new_state=state, at=tx.now)
    if not fits:
        raise_alarm(
            tx,
            AlarmKind.PAID_EXTRA,
            f"Payment {payment_id} was paid after it was closed and fits no active session; give the money back.",
            cart_id=locked.cart.id,
            session_id=session_id,
        )
        return Heeded.PAID_EXTRA
    tx.effects.append(
        Happened(
            Event.SETTLE_PAYMENT,
            locked.cart.id,
            session_id,
            {"payment": payment_id, "amount": payment.amount},
        )
    )
    finish_session(tx, locked, Event.SETTLE_PAYMENT, EndReason.PAID, rules)
    return Heeded.SETTLED


def unsettled_payments(
    connection: Connection, steady: int, rules: Rules, asking_seconds: int, after: int, limit: int
) -> list[Payment]:
    """Return what the reconciler must look at, in the order of its ids: `limit` payments of those after `after`.

    These are payments left in creating; open for too long, or with their session over; failed here, but known to exist
    at the provider.
    """
    rows = connection.execute(
        select(*_COLUMNS)
        .join(sessions, sessions.c.id == payments.c.session_id)
        .where(
            payments.c.state.in_((*OPEN_PAYMENTS, PaymentState.FAILED)),
            payments.c.id > after,
            or_(
                and_(payments.c.state == PaymentState.FAILED, payments.c.provider_ref.is_not(None)),
                and_(payments.c.state == PaymentState.CREATING, steady - asking_seconds * 1000 > PAYMENT_STEADY),
                and_(
                    OPEN,
                    or_(steady - rules.payment_seconds * 1000 > PAYMENT_STEADY, ~sessions.c.is_active),
                ),
            ),
        )
        .order_by(payments.c.id)
        .limit(limit)
    )
    return [_payment_of(row) for row in rows]


def session_is_active(connection: Connection, session_id: int) -> bool:
    return bool(connection.execute(select(sessions.c.is_active).where(sessions.c.id == session_id)).scalar_one())


def _lock_payment(tx: Transaction, payment_id: int) -> tuple[Payment, LockedCart]:
    """Lock the payment's cart, then read the payment as it is under that lock."""
    locked = with_phase(tx, cart_of(_LOCK.one(tx.connection, payment=payment_id)))
    payment = _find(tx.connection, _BY_ID, payment=payment_id)
    assert payment is not None
    return payment, locked


def _phase_in(locked: LockedCart, session_id: int, phase: Phase) -> Phase:
    """Return the phase of this session: AVAILABLE when the cart has none any more, or already the next one."""
    return phase if locked.cart.session_id == session_id else Phase.AVAILABLE
