"""The secrets that sign tokens are made at the first start and kept in the database, so that a restart voids no
token."""

from secrets import token_bytes

from sqlalchemy import insert, select

from duckycart.store.tables import signing_keys
from duckycart.store.transaction import Transaction


def read_or_make_signing_keys(tx: Transaction) -> dict[str, bytes]:
    """Return every key by its id, the one to sign with last. The first start makes the first."""
    rows = tx.connection.execute(
        select(signing_keys.c.kid, signing_keys.c.secret).order_by(signing_keys.c.created_at, signing_keys.c.kid)
    ).all()
    if rows:
        return {row.kid: row.secret for row in rows}
    # The same name everywhere, so that of two nodes that start at once only one makes it.
    kid, secret = "first", token_bytes(32)
    tx.connection.execute(insert(signing_keys).values(kid=kid, secret=secret, created_at=tx.steady))
    return {kid: secret}
