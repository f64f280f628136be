"""Sessions that are long over are forgotten: who it was and what was in the basket. The books stay.

How long is counted in days of the calendar, for whoever promised to keep nothing longer; so the time of day decides.
Should it be wrong, nothing goes by it that is still in use: no session that ended within IN_USE_SECONDS by the steady
clock, no guest that a QR may still let in, no result that its Idempotency-Key may still ask for.
"""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import and_, delete, exists, insert, select, update

from duckycart.store.states import CommandState
from duckycart.store.tables import (
    ENDED_STEADY,
    OUTSTANDING,
    alarms,
    analytics,
    basket_lines,
    carts,
    commands,
    connections,
    feedback,
    fraud_warnings,
    idempotency_keys,
    provider_events,
    refusals,
    session_locations,
    sessions,
    users,
)
from duckycart.store.transaction import Transaction

IN_USE_SECONDS: Final = 24 * 3600
BATCH: Final = 200  # sessions in one transaction, so that a running server waits for milliseconds
_SETTLED: Final = (CommandState.RECEIVED, CommandState.SUPERSEDED)
FORGOTTEN: Final = "Forgotten shopper"


@dataclass(frozen=True, slots=True)
class Forgotten:
    sessions: int = 0
    guests: int = 0
    commands: int = 0
    others: int = 0  # alarms, webhooks, kept results, connections

    def __add__(self, other: "Forgotten") -> "Forgotten":
        return Forgotten(
            self.sessions + other.sessions,
            self.guests + other.guests,
            self.commands + other.commands,
            self.others + other.others,
        )


def forget_sessions(tx: Transaction, before: int) -> Forgotten:
    """Delete, of up to BATCH sessions that ended before this time, basket, warnings, place and commands, and forget the
    shopper.

    The session itself, its payments and its row of analytics stay, as those of nobody. One whose cart has not heard its
    end yet stays whole. Repeat it until no session is left.
    """
    nobody = _nobody(tx)
    unheard = exists().where(commands.c.session_id == sessions.c.id, OUTSTANDING)
    old = list(
        tx.connection.scalars(
            select(sessions.c.id)
            .where(
                sessions.c.ended_at < before,
                tx.steady - ENDED_STEADY > IN_USE_SECONDS * 1000,
                sessions.c.user_id != nobody,
                ~unheard,
            )
            .order_by(sessions.c.id)
            .limit(BATCH)
        )
    )
    if not old:
        return Forgotten()
    for table in (basket_lines, feedback, fraud_warnings, session_locations):
        tx.connection.execute(delete(table).where(table.c.session_id.in_(old)))
    forgotten = tx.connection.execute(delete(commands).where(commands.c.session_id.in_(old))).rowcount
    tx.connection.execute(update(analytics).where(analytics.c.session_id.in_(old)).values(user_id=nobody))
    tx.connection.execute(update(sessions).where(sessions.c.id.in_(old)).values(user_id=nobody))
    return Forgotten(sessions=len(old), commands=forgotten)


def forget_the_rest(tx: Transaction, before: int) -> Forgotten:
    """Delete what is older and belongs to no session: guests, settled QR commands, alarms, webhooks, connections,
    refusals.

    A connection whose end nobody wrote stays: it may last, and there are never more than the last few of each cart.
    """
    used = exists().where(sessions.c.user_id == users.c.id)
    may_join = exists().where(
        carts.c.id == users.c.guest_cart_id,
        carts.c.qr_round == users.c.guest_round,
        carts.c.qr_expires_at > tx.steady,
    )
    guests = delete(users).where(
        users.c.email.is_(None), users.c.guest_cart_id.is_not(None), users.c.created_at < before, ~used, ~may_join
    )
    settled = delete(commands).where(
        commands.c.session_id.is_(None), commands.c.queued_at < before, commands.c.state.in_(_SETTLED)
    )
    others = 0
    for table, old in (
        (alarms, alarms.c.at < before),
        (provider_events, provider_events.c.received_at < before),
        (idempotency_keys, idempotency_keys.c.created_at < tx.steady - IN_USE_SECONDS * 1000),
        (connections, connections.c.until < before),
        (refusals, refusals.c.last_at < before),
    ):
        others += tx.connection.execute(delete(table).where(old)).rowcount
    return Forgotten(
        guests=tx.connection.execute(guests).rowcount,
        commands=tx.connection.execute(settled).rowcount,
        others=others,
    )


def _nobody(tx: Transaction) -> int:
    """Return the account that forgotten sessions belong to: nobody can sign in to it."""
    them = and_(users.c.full_name == FORGOTTEN, users.c.email.is_(None), users.c.guest_cart_id.is_(None))
    found = tx.connection.execute(select(users.c.id).where(them)).scalars().first()
    if found is not None:
        return int(found)
    values = {"full_name": FORGOTTEN, "is_active": False, "is_operator": False, "created_at": tx.now}
    return int(tx.connection.execute(insert(users).values(values).returning(users.c.id)).scalar_one())
