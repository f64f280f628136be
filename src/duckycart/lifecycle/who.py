"""Who asks for a transition, and whose session it may touch."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select

from duckycart.errors import NotFound
from duckycart.store.tables import sessions


@dataclass(frozen=True, slots=True)
class ByCart:
    """The cart itself, by its key: its own sessions."""

    cart_id: int


@dataclass(frozen=True, slots=True)
class ByShopper:
    """A shopper or guest, by an access token: their own sessions."""

    user_id: int


@dataclass(frozen=True, slots=True)
class ByOperator:
    """An operator: every session."""

    user_id: int | None  # None at the server's own shell


Who = ByCart | ByShopper | ByOperator

_SESSION = select(
    sessions.c.id,
    sessions.c.cart_id,
    sessions.c.user_id,
    sessions.c.is_active,
    sessions.c.created_at,
    sessions.c.end_reason,
).where(sessions.c.id == bindparam("session"))


@dataclass(frozen=True, slots=True)
class SessionView:
    """A session as clients see it; `id`, `cart_id`, `user_id` and `created_at` never change."""

    id: int
    cart_id: int
    user_id: int
    is_active: bool
    created_at: int
    end_reason: str | None


def session_of(row: Row[*tuple[Any, ...]]) -> SessionView:
    return SessionView(*row)


def find_session(connection: Connection, who: Who, session_id: int) -> SessionView:
    """The session, if `who` may know of it. Raises NotFound otherwise, without saying which of the two it was."""
    row = connection.execute(_SESSION, {"session": session_id}).one_or_none()
    session = None if row is None else session_of(row)
    match who:
        case ByCart(cart_id):
            allowed = session is not None and session.cart_id == cart_id
        case ByShopper(user_id):
            allowed = session is not None and session.user_id == user_id
        case ByOperator():
            allowed = session is not None
    if session is None or not allowed:
        raise NotFound("unknown_session", f"There is no session {session_id} of yours.")
    return session
