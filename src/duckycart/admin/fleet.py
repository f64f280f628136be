"""Operators administer carts as rows: add them, give them other keys, withdraw them, list them."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, Row, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from duckycart.admin.refusals import CART_EXISTS, KEY_TAKEN, NO_CART
from duckycart.clock import iso
from duckycart.hardware.ownership import withdraw
from duckycart.hardware.pairing import issue_code, void_code
from duckycart.store.tables import carts
from duckycart.store.transaction import Transaction

NAMED_IN_ERROR: Final = 5  # ids that a sentence lists before it only counts


_LISTED: Final = select(
    carts.c.id,
    carts.c.status,
    carts.c.session_id,
    carts.c.disabled,
    carts.c.out_of_service,
    carts.c.link_node.label("node"),
    func.coalesce(carts.c.link_changed_wall, carts.c.link_changed_at).label("link_changed_at"),
    carts.c.created_at,
).order_by(carts.c.id)


def add_carts(tx: Transaction, key_hashes: Mapping[int, bytes]) -> None:
    """Add carts with their keys; all or none. `link_changed_at` stays 0: offline until they first connect.

    Raises Conflict when one of the ids, or one of the keys, is there already.
    """
    between = carts.c.id.between(min(key_hashes), max(key_hashes))
    present = sorted(key_hashes.keys() & set(tx.connection.scalars(select(carts.c.id).where(between))))
    if present:
        named = ", ".join(map(str, present[:NAMED_IN_ERROR]))
        more = f" and {len(present) - NAMED_IN_ERROR} more" if len(present) > NAMED_IN_ERROR else ""
        raise CART_EXISTS(carts=named + more)
    rows = [{"id": cart, "key_hash": key_hash, "created_at": tx.now} for cart, key_hash in key_hashes.items()]
    try:
        tx.connection.execute(insert(carts), rows)
    except IntegrityError as error:
        raise KEY_TAKEN() from error


def rotate_key(tx: Transaction, cart_id: int, key_hash: bytes) -> None:
    """Give the cart another key: from the commit on only the new one opens it, and the link made with the old one is
    withdrawn, and so is a claim code.

    Raises NotFound; Conflict when another cart has this key.
    """
    try:
        _withdraw(tx, cart_id, {"key_hash": key_hash})
    except IntegrityError as error:
        raise KEY_TAKEN() from error
    void_code(tx, cart_id)


def claim_code(tx: Transaction, cart_id: int, code_hash: bytes) -> None:
    """Let the cart's program give it a key by this code, for `pairing.CODE_MINUTES`, once. Raises NotFound."""
    one_cart(tx.connection, cart_id)
    issue_code(tx, cart_id, code_hash)


def disable(tx: Transaction, cart_id: int) -> None:
    """Disable the cart: no key opens it or its screen any more; what they had open ends. A session goes on. Raises
    NotFound."""
    _withdraw(tx, cart_id, {"disabled": True, "screen_changed_at": tx.steady})


def set_screen_key(tx: Transaction, cart_id: int, key_hash: bytes | None) -> None:
    """Give the cart's screen another key: from the commit on only that one opens it, with None no key does; what
    another opened ends.

    Raises NotFound.
    """
    _change(tx, cart_id, {"screen_key_hash": key_hash, "screen_changed_at": tx.steady})


def enable(tx: Transaction, cart_id: int) -> None:
    """Enable the cart: its key and that of its screen open them again. Raises NotFound."""
    _change(tx, cart_id, {"disabled": False})


def list_carts(connection: Connection) -> list[dict[str, Any]]:
    """Return all carts in the order of their ids, ready for JSON.

    `node` is the server that holds the cart's link, null while it is offline; `link_changed_at` null until its first
    connection; `session_id` null while it is available.
    """
    return [_ready(row) for row in connection.execute(_LISTED)]


def one_cart(connection: Connection, cart_id: int) -> dict[str, Any]:
    """Return one cart, as `list_carts` has it. Raises NotFound."""
    row = connection.execute(_LISTED.where(carts.c.id == cart_id)).one_or_none()
    if row is None:
        raise NO_CART(cart_id=cart_id)
    return _ready(row)


def _ready(row: Row[*tuple[Any, ...]]) -> dict[str, Any]:
    return {
        **row._mapping,
        "link_changed_at": iso(row.link_changed_at) if row.link_changed_at else None,
        "created_at": iso(row.created_at),
    }


def _withdraw(tx: Transaction, cart_id: int, changes: dict[str, Any]) -> None:
    if not withdraw(tx, cart_id, changes):
        raise NO_CART(cart_id=cart_id)


def _change(tx: Transaction, cart_id: int, changes: dict[str, Any]) -> None:
    if tx.connection.execute(update(carts).where(carts.c.id == cart_id).values(**changes)).rowcount == 0:
        raise NO_CART(cart_id=cart_id)
