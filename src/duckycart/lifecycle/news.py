"""Listeners to a session or a cart read from the rows what they have missed, or must hear first."""

from collections.abc import Collection, Mapping
from typing import Final

from sqlalchemy import Connection, bindparam, select

from duckycart.effects import News, NewsKind
from duckycart.lifecycle.access import Who, find_session
from duckycart.refusals import SESSION_GONE, UNKNOWN_CART
from duckycart.store.states import EndReason, PaymentState
from duckycart.store.tables import ENDED_STEADY, carts, fraud_warnings, payments, sessions

GRACE_SECONDS: Final = 60  # after a session's end, for screens that were away when it was said (F39)

DECLINED: Final = "The payment was declined; please try again."
CANCELLED: Final = "The payment was cancelled; please create another one."


_STATE: Final = select(sessions.c.version, ENDED_STEADY, sessions.c.end_reason).where(
    sessions.c.id == bindparam("session")
)
_START: Final = (
    select(carts.c.session_id, sessions.c.version)
    .select_from(carts.outerjoin(sessions, sessions.c.id == carts.c.session_id))
    .where(carts.c.id == bindparam("cart"))
)
_STATES: Final = select(sessions.c.id, sessions.c.cart_id, sessions.c.version, sessions.c.end_reason).where(
    sessions.c.id.in_(bindparam("listened", expanding=True))
)
_STARTS: Final = (
    select(carts.c.id, carts.c.session_id, sessions.c.version)
    .join(sessions, sessions.c.id == carts.c.session_id)
    .where(carts.c.id.in_(bindparam("listened", expanding=True)))
)
_WARNINGS: Final = select(fraud_warnings.c.type_of_warning, fraud_warnings.c.news_version).where(
    fraud_warnings.c.session_id == bindparam("session"), fraud_warnings.c.news_version > bindparam("heard")
)
_PAYMENTS: Final = select(payments.c.news, payments.c.news_version, payments.c.state).where(
    payments.c.session_id == bindparam("session"), payments.c.news_version > bindparam("heard")
)


def final_news(cart_id: int, session_id: int, version: int, end_reason: str) -> News:
    """Return the last word of a session. Only a paid one has a name of its own; after another end, clients look
    again."""
    kind = NewsKind.PAYMENT_SUCCESSFUL if end_reason == EndReason.PAID else NewsKind.CART_UPDATED
    return News(kind, cart_id, session_id, version, final=True)


def present_news(connection: Connection, who: Who, session_id: int, steady: int) -> News:
    """Return what a newcomer must hear first: that there is a basket to look at, or how the session ended.

    Raises NotFound for another's session, Gone for one that ended more than GRACE_SECONDS ago.
    """
    session = find_session(connection, who, session_id)
    version, ended_at, end_reason = connection.execute(_STATE, {"session": session_id}).one()
    if ended_at is None:
        return News(NewsKind.CART_UPDATED, session.cart_id, session_id, version)
    if steady - ended_at > GRACE_SECONDS * 1000:
        raise SESSION_GONE(session_id=session_id)
    return final_news(session.cart_id, session_id, version, end_reason)


def start_of_session(connection: Connection, cart_id: int) -> News | None:
    """Return what a newcomer at a cart must hear first: its session's start, None while it has none. Raises
    NotFound."""
    row = connection.execute(_START, {"cart": cart_id}).one_or_none()
    if row is None:
        raise UNKNOWN_CART(cart_id=cart_id)
    return None if row.session_id is None else News(NewsKind.SESSION_STARTED, cart_id, row.session_id, row.version)


def missed_news(connection: Connection, heard: Mapping[int, int]) -> list[News]:
    """Return the news of these sessions after the version that was heard of each, in order.

    Warnings, payments and the last word are as they were first sent; what is between them changed the basket, and is
    one `cart-updated` about all of it.
    """
    missed: list[News] = []
    for session_id, cart_id, version, end_reason in connection.execute(_STATES, {"listened": list(heard)}).all():
        after = heard[session_id]
        if version <= after:
            continue
        keys = {"session": session_id, "heard": after}
        kept = [
            News(NewsKind(kind), cart_id, session_id, number) for kind, number in connection.execute(_WARNINGS, keys)
        ]
        for kind, number, state in connection.execute(_PAYMENTS, keys):
            failed = kind == NewsKind.PAYMENT_FAILED
            data = {"message": CANCELLED if state == PaymentState.CANCELLED else DECLINED} if failed else 0
            kept.append(News(NewsKind(kind), cart_id, session_id, number, data))
        if end_reason is not None:
            kept.append(final_news(cart_id, session_id, version, end_reason))
        for news in sorted(kept, key=lambda news: news.version):
            if news.version > after + 1:
                missed.append(News(NewsKind.CART_UPDATED, cart_id, session_id, news.version - 1))
            missed.append(news)
            after = news.version
        if version > after:
            missed.append(News(NewsKind.CART_UPDATED, cart_id, session_id, version))
    return missed


def starts_of_sessions(connection: Connection, cart_ids: Collection[int]) -> list[News]:
    """Return the start of the present session of each of these carts that has one."""
    rows = connection.execute(_STARTS, {"listened": list(cart_ids)})
    return [News(NewsKind.SESSION_STARTED, *row) for row in rows]
