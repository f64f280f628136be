"""The address at which phones and screens find the server is kept where the shell reads it."""

from typing import Final

from sqlalchemy import Connection, select, text

from duckycart.store.tables import shop_address
from duckycart.store.transaction import Transaction

_KEEP: Final = text("INSERT INTO shop_address (id, url) VALUES (1, :url) ON CONFLICT (id) DO UPDATE SET url = :url")


def keep_address(tx: Transaction, url: str) -> None:
    """Keep the URL of a server that starts. Of several servers, which should have the same one, the last counts."""
    tx.connection.execute(_KEEP, {"url": url})


def read_address(connection: Connection) -> str | None:
    """Return the URL, without a slash at the end; None where no server has run yet."""
    return connection.execute(select(shop_address.c.url)).scalar_one_or_none()
