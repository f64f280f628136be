"""A cart's screen is opened by a key; whose key changed has to be shown out."""

from typing import Final

from sqlalchemy import Connection, and_, bindparam, case, not_, select

from duckycart.store.prepared import prepared
from duckycart.store.tables import carts

_KEY: Final = prepared(
    select(carts.c.screen_key_hash).where(and_(carts.c.id == bindparam("cart"), not_(carts.c.disabled)))
)
_CHANGED: Final = select(carts.c.id, case((not_(carts.c.disabled), carts.c.screen_key_hash)).label("key_hash")).where(
    carts.c.screen_changed_at >= bindparam("since")
)


def screen_key(connection: Connection, cart_id: int) -> bytes | None:
    """Return the hash of the key that opens the cart's screen now; None for none, for a disabled and for an unknown
    cart."""
    key_hash: bytes | None = _KEY.scalar_or_none(connection, cart=cart_id)
    return key_hash


def name_of(key_hash: bytes) -> str:
    """Return a name of the key that does not betray it: a screen's cookie carries this name, so that another key voids
    it."""
    return key_hash[:8].hex()


def changed_screens(connection: Connection, since: int) -> list[tuple[int, str | None]]:
    """Return (cart, name of the key that opens its screen now) of every cart where that changed since then (steady)."""
    return [
        (row.id, None if row.key_hash is None else name_of(row.key_hash))
        for row in connection.execute(_CHANGED, {"since": since})
    ]
