"""Results of requests that carried an Idempotency-Key are kept, so that a repetition is answered and not done again."""

from collections.abc import Callable
from typing import Final, Generic, TypeVar

from sqlalchemy import Connection, and_, bindparam, delete, insert, select, update

from duckycart.refusals import KEY_REUSED
from duckycart.store.prepared import prepared
from duckycart.store.tables import idempotency_keys
from duckycart.store.transaction import Transaction

T = TypeVar("T")

KEEP_SECONDS: Final = 24 * 3600

_THIS: Final = and_(idempotency_keys.c.scope == bindparam("of"), idempotency_keys.c.key == bindparam("named"))
_FIND: Final = prepared(
    select(idempotency_keys.c.fingerprint, idempotency_keys.c.result).where(
        _THIS, idempotency_keys.c.created_at > bindparam("old")
    )
)
_FORGET: Final = prepared(delete(idempotency_keys).where(_THIS, idempotency_keys.c.created_at <= bindparam("old")))
_TAKE: Final = prepared(insert(idempotency_keys), "scope", "key", "fingerprint", "result", "created_at")
_KEEP: Final = prepared(update(idempotency_keys).where(_THIS).values(result=bindparam("kept")))


class Repeatable(Generic[T]):
    """A request with an Idempotency-Key, of one caller, and its result once there is one."""

    def __init__(
        self, scope: str, key: str, fingerprint: bytes, to_json: Callable[[T], bytes], from_json: Callable[[str], T]
    ) -> None:
        """Name the request: `scope` is the caller and the call, `fingerprint` the body; the result is kept as JSON."""
        self._this = {"of": scope, "named": key}
        self._fingerprint = fingerprint
        self._to_json = to_json
        self._from_json = from_json

    def once(self, tx: Transaction, work: Callable[[Transaction], T]) -> T:
        """Do `work` and keep its result in the same transaction; where one is kept, return that. Raises as `find`."""
        found = self.find(tx.connection, tx.steady)
        if found is not None:
            return found[0]
        self._take(tx)
        result = work(tx)
        kept = self._to_json(result).decode()
        _KEEP.run(tx.connection, **self._this, kept=kept)
        return result

    def find(self, connection: Connection, steady: int) -> tuple[T] | None:
        """Return the kept result in a tuple, since None is a result too. Raises Mismatch when the key was used for
        another body."""
        row = _FIND.one_or_none(connection, **self._this, old=steady - KEEP_SECONDS * 1000)
        if row is None:
            return None
        if row.fingerprint != self._fingerprint:
            raise KEY_REUSED()
        return (self._from_json(row.result),)

    def _take(self, tx: Transaction) -> None:
        """Take the key before the work: of two at once the second waits here for the first, and then finds its
        result."""
        # Only one older than promised makes room: another's may have been committed since `find` looked.
        _FORGET.run(tx.connection, **self._this, old=tx.steady - KEEP_SECONDS * 1000)
        _TAKE.run(
            tx.connection,
            scope=self._this["of"],
            key=self._this["named"],
            fingerprint=self._fingerprint,
            result="",
            created_at=tx.steady,
        )


def forget_old_keys(tx: Transaction) -> None:
    """Delete what was kept for longer than promised."""
    old = idempotency_keys.c.created_at < tx.steady - KEEP_SECONDS * 1000
    tx.connection.execute(delete(idempotency_keys).where(old))
