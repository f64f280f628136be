"""A transition is told who asks for it, and finds out whose sessions that caller may touch."""

from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection, bindparam, or_, select

from duckycart.refusals import ENDED_UNPAID, EXPIRED_SCREEN, UNKNOWN_SESSION
from duckycart.store.prepared import Row, prepared
from duckycart.store.states import EndReason
from duckycart.store.tables import ENDED_STEADY, sessions


@dataclass(frozen=True, slots=True)
class ByCart:
    """The cart itself, by its key, may touch its own sessions."""

    cart_id: int
    boot_id: str | None = field(default=None, repr=False)  # which boot of it; None: it does not say


@dataclass(frozen=True, slots=True)
class ByShopper:
    """A shopper or guest, by an access token, may touch their own sessions."""

    user_id: int


@dataclass(frozen=True, slots=True)
class ByOperator:
    """An operator may touch every session."""

    user_id: int | None  # None at the server's own shell


@dataclass(frozen=True, slots=True)
class ByScreen:
    """A screen, by the token that its stream handed over, may touch that one session."""

    session_id: int


@dataclass(frozen=True, slots=True)
class ByCartScreen:
    """The screen of a cart, by the cookie it got for its key, may have the cart's QR and stream, and no session."""

    cart_id: int
    key: str  # which key that was (`screens.name_of`)


@dataclass(frozen=True, slots=True)
class ByLegacyScreen:
    """A screen without a credential, in a network that needs none, may touch any session, through the doors that admit
    it."""

    address: str


Who = ByCart | ByShopper | ByOperator | ByScreen | ByCartScreen | ByLegacyScreen

GUEST_SECONDS: Final = 12 * 3600  # after the session's end, to look at what was bought; as long as a shopper may
SCREEN_SECONDS: Final = 15 * 60  # after the end of a session that was paid, for a receipt and a thank-you on the screen

SESSION_COLUMNS: Final = (
    sessions.c.id,
    sessions.c.cart_id,
    sessions.c.user_id,
    sessions.c.is_active,
    sessions.c.created_at,
    sessions.c.end_reason,
)
_SESSION: Final = prepared(select(*SESSION_COLUMNS).where(sessions.c.id == bindparam("session")))
_ENDING: Final = prepared(
    select(ENDED_STEADY.label("ended_at"), sessions.c.end_reason).where(sessions.c.id == bindparam("session"))
)
_OF_GUEST: Final = prepared(
    select(sessions.c.id)
    .where(sessions.c.user_id == bindparam("user"), or_(sessions.c.is_active, bindparam("over") < ENDED_STEADY))
    .limit(1)
)


@dataclass(frozen=True, slots=True)
class SessionView:
    """A session as clients see it; `id`, `cart_id`, `user_id` and `created_at` never change."""

    id: int
    cart_id: int
    user_id: int
    is_active: bool
    created_at: int
    end_reason: EndReason | None


def session_of(row: Row) -> SessionView:
    return SessionView(
        id=row.id,
        cart_id=row.cart_id,
        user_id=row.user_id,
        is_active=row.is_active,
        created_at=row.created_at,
        end_reason=None if row.end_reason is None else EndReason(row.end_reason),
    )


def find_session(connection: Connection, who: Who, session_id: int) -> SessionView:
    """Return the session, if `who` may know of it. Raises NotFound otherwise, without saying which of the two it
    was."""
    row = _SESSION.one_or_none(connection, session=session_id)
    session = None if row is None else session_of(row)
    match who:
        case ByCart(cart_id):
            allowed = session is not None and session.cart_id == cart_id
        case ByShopper(user_id):
            allowed = session is not None and session.user_id == user_id
        case ByScreen(own):
            allowed = session is not None and session.id == own
        case ByOperator() | ByLegacyScreen():
            allowed = session is not None
        case ByCartScreen():
            allowed = False
    if session is None or not allowed:
        raise UNKNOWN_SESSION(session_id=session_id)
    return session


def guest_may(connection: Connection, user_id: int, steady: int) -> bool:
    """Return whether a guest's session makes its token good, however old that is: while it lasts, and GUEST_SECONDS
    more."""
    return _OF_GUEST.one_or_none(connection, user=user_id, over=steady - GUEST_SECONDS * 1000) is not None


def admit_screen(connection: Connection, session_id: int, steady: int) -> None:
    """Let a screen that shows a token for this session read the session.

    Raises Unauthenticated when the session is over: at once where it was not paid, because fielded screens go back to
    their QR on a 401 and on nothing else (F68); SCREEN_SECONDS later where it was.
    """
    row = _ENDING.one_or_none(connection, session=session_id)
    if row is not None and row.end_reason not in (None, EndReason.PAID):
        raise ENDED_UNPAID()
    if row is None or (row.ended_at is not None and steady - row.ended_at > SCREEN_SECONDS * 1000):
        raise EXPIRED_SCREEN()
