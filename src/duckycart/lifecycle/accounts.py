"""Shoppers sign up and have accounts; guests come without one."""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, insert, or_, select

from duckycart.effects import Happened
from duckycart.lifecycle.carts import lock_cart
from duckycart.names import account_name
from duckycart.refusals import ACCOUNT_TAKEN, QR_EXPIRED, QR_VOID
from duckycart.store.tables import users
from duckycart.store.transaction import Transaction


@dataclass(frozen=True, slots=True)
class User:
    """An account as its owner sees it; never its hash."""

    id: int
    email: str | None
    username: str | None
    mobile_number: str | None
    full_name: str
    is_active: bool
    is_operator: bool


_COLUMNS: Final = (
    users.c.id,
    users.c.email,
    users.c.username,
    users.c.mobile_number,
    users.c.full_name,
    users.c.is_active,
    users.c.is_operator,
)


def _user_of(row: Row[*tuple[Any, ...]]) -> User:
    return User(
        id=row.id,
        email=row.email,
        username=row.username,
        mobile_number=row.mobile_number,
        full_name=row.full_name,
        is_active=row.is_active,
        is_operator=row.is_operator,
    )


def sign_up(
    tx: Transaction,
    *,
    email: str,
    password_hash: str,
    full_name: str,
    username: str | None,
    mobile_number: str | None,
) -> User:
    """Add a shopper. E-mail and user name are unique, in whatever form they are typed. Raises Conflict when one is
    taken."""
    email = account_name(email)
    username = account_name(username) if username else None
    same = users.c.email == email if username is None else or_(users.c.email == email, users.c.username == username)
    if tx.connection.execute(select(users.c.id).where(same)).first() is not None:
        raise ACCOUNT_TAKEN()
    row = tx.connection.execute(
        insert(users)
        .values(
            email=email,
            username=username,
            mobile_number=mobile_number,
            full_name=full_name,
            password_hash=password_hash,
            is_active=True,
            is_operator=False,
            created_at=tx.now,
        )
        .returning(*_COLUMNS)
    ).one()
    return _user_of(row)


def find_account(connection: Connection, name: str) -> tuple[User, str | None] | None:
    """Return the account with this e-mail or user name, in whatever form it is typed, and its password hash; None if
    there is none."""
    name = account_name(name)
    row = connection.execute(
        select(*_COLUMNS, users.c.password_hash).where(or_(users.c.email == name, users.c.username == name))
    ).first()
    if row is None:
        return None
    return _user_of(row), row.password_hash


def begin_guest(tx: Transaction, cart_id: int, qr_round: int, expires_at: int) -> User:
    """Add a shopper without an account, for the one session that this QR can start; `expires_at` is steady.

    Raises NotFound for an unknown cart, Gone when the QR is void or expired.
    """
    cart = lock_cart(tx, cart_id)
    if qr_round != cart.qr_round:
        raise QR_VOID(cart_id=cart_id)
    if tx.steady >= expires_at:
        raise QR_EXPIRED(cart_id=cart_id)
    row = tx.connection.execute(
        insert(users)
        .values(
            full_name="Guest",
            is_active=True,
            is_operator=False,
            guest_cart_id=cart_id,
            guest_round=qr_round,
            created_at=tx.now,
        )
        .returning(*_COLUMNS)
    ).one()
    tx.effects.append(Happened("begin_guest", cart_id, None, {"user": row.id}))
    return _user_of(row)
