"""A payment provider's webhook is stored once, and acted upon in the same transaction."""

import re
from typing import Final

from sqlalchemy import Connection, and_, bindparam, delete, func, insert, select

from duckycart.effects import AlarmKind
from duckycart.lifecycle.carts import raise_alarm
from duckycart.lifecycle.payments import close_payment, decline_payment, find_payment, settle_payment
from duckycart.lifecycle.rules import Rules
from duckycart.providers.protocol import Outcome, ProviderEvent
from duckycart.refusals import PAYMENT_NOT_KNOWN_YET
from duckycart.store.prepared import prepared
from duckycart.store.states import Heeded, PaymentState
from duckycart.store.tables import payments, provider_events
from duckycart.store.transaction import Transaction

_BEING_CREATED: Final = prepared(
    select(payments.c.id)
    .where(
        payments.c.state == PaymentState.CREATING,
        # Not IS NULL, by which it would be looked for among all that ever failed, instead of the few that are open.
        func.coalesce(payments.c.provider_ref, "") == "",
        payments.c.provider == bindparam("by"),
        payments.c.amount == bindparam("paid"),
        payments.c.currency == bindparam("in_currency"),
    )
    .limit(1)
)
MAX_AMOUNT: Final = 2**63 - 1  # minor units
_CURRENCY: Final = re.compile(r"[A-Z]{3}")

_THIS: Final = and_(provider_events.c.provider == bindparam("by"), provider_events.c.event_id == bindparam("event"))
_SEEN: Final = prepared(select(provider_events.c.outcome).where(_THIS))
_FORGET: Final = prepared(delete(provider_events).where(_THIS))
_INSERT_EVENT: Final = prepared(
    insert(provider_events), "provider", "event_id", "type", "provider_ref", "body", "outcome", "received_at"
)


def record_event(tx: Transaction, provider: str, event: ProviderEvent, body: str, rules: Rules) -> Heeded:
    """Store a provider's webhook, once, with what came of it, and act upon it in the same transaction.

    Returns what came of it: `repeated` for one that was stored before, else as stored. So that the provider need not
    send it again (F10), nothing that is stored is refused but `absurd`, one that makes no sense. It changes nothing and
    raises an alarm (F54); should the event come again in a form that can be understood, that one counts.

    Raises Unavailable, having stored nothing, for a success that may be of a payment whose name at the provider is not
    known here yet: it is still being created, with that very amount. The provider repeats it, and by then the name is
    known. That is not for ever: the reconciler opens or closes whatever is stuck in being created.
    """
    this = {"by": provider, "event": event.event_id}
    seen: str | None = _SEEN.scalar_or_none(tx.connection, **this)
    if seen == Heeded.ABSURD:
        if not _makes_sense(event):
            return Heeded.ABSURD
        _FORGET.run(tx.connection, **this)
    elif seen is not None:
        return Heeded.REPEATED
    outcome = _act_on(tx, provider, event, rules)
    _INSERT_EVENT.run(
        tx.connection,
        provider=provider,
        event_id=event.event_id,
        type=event.type[:40],
        provider_ref=event.ref if outcome is not Heeded.ABSURD else None,
        body=body,
        outcome=outcome,
        received_at=tx.now,
    )
    return outcome


def _act_on(tx: Transaction, provider: str, event: ProviderEvent, rules: Rules) -> Heeded:
    if not _makes_sense(event):
        raise_alarm(
            tx,
            AlarmKind.ABSURD_WEBHOOK,
            f"{provider} signed the event {event.event_id} ({event.type}), which makes no sense; look there.",
        )
        return Heeded.ABSURD
    if event.outcome is Outcome.UNKNOWN:
        return Heeded.IGNORED
    # Asked before the payment is looked for: one that is opened between the two statements is found by the second.
    early = event.outcome is Outcome.SUCCEEDED and _may_be_early(tx.connection, provider, event)
    payment = None if event.ref is None else find_payment(tx.connection, provider, event.ref)
    if payment is None:
        if early:
            raise PAYMENT_NOT_KNOWN_YET()
        if event.outcome is Outcome.SUCCEEDED:
            raise_alarm(
                tx,
                AlarmKind.UNKNOWN_PAYMENT_PAID,
                f"{provider} says that {event.ref} was paid; it is not known here.",
            )
        return Heeded.UNKNOWN_PAYMENT
    match event.outcome:
        case Outcome.SUCCEEDED:
            return settle_payment(tx, payment.id, event.amount, event.currency, rules)
        case Outcome.DECLINED:
            return decline_payment(tx, payment.id)
        case _:
            close_payment(tx, payment.id)
            return Heeded.CANCELLED


def _makes_sense(event: ProviderEvent) -> bool:
    """Return whether the event can be of any payment; no database keeps other amounts, and no provider means them
    (F54)."""
    return (
        event.outcome is not Outcome.ABSURD
        and (event.amount is None or 0 < event.amount <= MAX_AMOUNT)
        and (event.currency is None or _CURRENCY.fullmatch(event.currency) is not None)
    )


def _may_be_early(connection: Connection, provider: str, event: ProviderEvent) -> bool:
    """Return whether the event may be of a payment whose name is not known here yet: one in creating, of that very
    amount.

    Another amount could not settle it anyway, and what others take with the same account must not wait for ours.
    """
    keys = {"by": provider, "paid": event.amount, "in_currency": event.currency}
    return event.ref is not None and _BEING_CREATED.one_or_none(connection, **keys) is not None
