"""This module tells a connection to PostgreSQL that is a session of our own from one that a pooler lends for a
transaction.

A server keeps locks, timeouts and prepared statements for as long as it is connected. A pooler that gives others the
session in between (PgBouncer's transaction and statement mode, Neon's `-pooler` host) takes them away, and hands over
theirs (F64). One that keeps a session for each client (PgBouncer's session mode) is as good as none.
"""

from typing import Final

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from duckycart.errors import Conflict, Refusal

ROUNDS: Final = 3  # a pooler that is busy with others may keep two of our transactions apart by chance

_PID: Final = text("SELECT pg_backend_pid()")
_STATEMENT_MODE: Final = "pooling mode"  # PgBouncer in statement mode, when a transaction begins


class SharedSessions(Conflict):
    """The database's sessions are lent, not given."""


SHARED_SESSIONS: Final = Refusal(
    SharedSessions,
    "shared_sessions",
    "{name} is behind a pooler that lends each connection for one transaction only (PgBouncer's "
    "pool_mode = transaction or statement, Neon's -pooler host). Set pool_mode = session there, or name "
    "PostgreSQL itself with --database.",
)


def refuse_shared_sessions(engine: Engine, name: str) -> None:
    """Raise SharedSessions if a pooler lends the sessions; DBAPIError when the database cannot be reached.

    Two connections are open, so two sessions must answer. Of a pooler that lends them even an idle one gives itself
    away: what one connection has just let go is what it hands to the other one's transaction, and then the first needs
    another session.
    """
    try:
        with engine.connect() as one, engine.connect() as other:
            one = one.execution_options(isolation_level="AUTOCOMMIT")
            for _ in range(ROUNDS):
                before = backend(one)
                with other.begin():
                    if backend(other) == before or backend(one) != before:
                        raise SHARED_SESSIONS(name=name)
    except DBAPIError as error:
        if _STATEMENT_MODE in str(error.orig):
            raise SHARED_SESSIONS(name=name) from error
        raise


def backend(connection: Connection) -> int:
    """Return the number of the server process that answers."""
    return int(connection.execute(_PID).scalar_one())
