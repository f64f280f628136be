"""Runs a transition for a request: once per Idempotency-Key, and says what became of its command."""

import re
from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final, Generic, TypeVar

from fastapi import Request, Response
from pydantic import TypeAdapter
from sqlalchemy import Connection, and_, delete, insert, select, update

from duckycart.api.who import address, house
from duckycart.errors import BadRequest, Mismatch, Unavailable
from duckycart.lifecycle.who import Who
from duckycart.store.engine import Transaction
from duckycart.store.tables import idempotency_keys

T = TypeVar("T")

KEEP_SECONDS: Final = 24 * 3600
MAX_WAIT: Final = 5
_KEY: Final = re.compile(r"[\x21-\x7e]{1,200}")
_WAIT: Final = re.compile(r"(?:^|[,;\s])wait=(\d{1,4})(?:$|[,;\s])")


class _Kept(Generic[T]):
    """What an Idempotency-Key stands for: a request of one caller, and its result once there is one."""

    def __init__(self, scope: str, key: str, fingerprint: bytes, result_type: Any) -> None:
        self._this = and_(idempotency_keys.c.scope == scope, idempotency_keys.c.key == key)
        self._row = {"scope": scope, "key": key, "fingerprint": fingerprint}
        self._adapter: TypeAdapter[T] = TypeAdapter(result_type)

    def find(self, connection: Connection, steady: int) -> tuple[T] | None:
        """The result in a tuple, since None is one too. Raises Mismatch when the key was used for another body."""
        row = connection.execute(
            select(idempotency_keys.c.fingerprint, idempotency_keys.c.result).where(
                self._this, idempotency_keys.c.created_at > steady - KEEP_SECONDS * 1000
            )
        ).one_or_none()
        if row is None:
            return None
        if row.fingerprint != self._row["fingerprint"]:
            raise Mismatch("idempotency_key_reused", "This Idempotency-Key was used for another request.")
        return (self._adapter.validate_json(row.result),)

    def take(self, tx: Transaction) -> None:
        """Before the work: of two at once the second waits here for the first, and then finds its result."""
        # Only one older than promised makes room: another's may have been committed since `find` looked.
        old = idempotency_keys.c.created_at <= tx.steady - KEEP_SECONDS * 1000
        tx.connection.execute(delete(idempotency_keys).where(self._this, old))
        tx.connection.execute(insert(idempotency_keys).values({**self._row, "result": "", "created_at": tx.steady}))

    def keep(self, tx: Transaction, result: T) -> None:
        kept = self._adapter.dump_json(result).decode()
        tx.connection.execute(update(idempotency_keys).where(self._this).values(result=kept))


async def _kept(request: Request, caller: Who | None, result_type: Any, body: bytes | None) -> _Kept[Any] | None:
    """Of this request; None without an Idempotency-Key. Raises BadRequest for a malformed one."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if _KEY.fullmatch(key) is None:
        raise BadRequest("bad_idempotency_key", "Idempotency-Key must be 1 to 200 visible ASCII characters.")
    scope = sha256(f"{caller or address(request)} {request.method} {request.url.path}".encode()).hexdigest()
    fingerprint = sha256(await request.body() if body is None else body).digest()
    return _Kept(scope, key, fingerprint, result_type)


async def write(
    request: Request,
    caller: Who | None,
    result_type: Any,
    work: Callable[[Transaction], T],
    *,
    body: bytes | None = None,
) -> T:
    """Run `work` as one transaction and return its result, which is of `result_type`.

    With an Idempotency-Key the result is kept for 24 h in the same transaction, and a repetition of the request gets it
    without running `work` again. Scope: who asks, method and path. Only successes are kept: what was refused changed
    nothing and may be tried again. `body` stands for the request's body where its hash must not be kept. Raises
    BadRequest for a malformed key, Mismatch for one of another body.
    """
    kept: _Kept[T] | None = await _kept(request, caller, result_type, body)
    if kept is None:
        return await house(request).store.write(work)

    def once(tx: Transaction) -> T:
        found = kept.find(tx.connection, tx.steady)
        if found is not None:
            return found[0]
        kept.take(tx)
        result = work(tx)
        kept.keep(tx, result)
        return result

    return await house(request).store.write(once)


async def recall(request: Request, caller: Who, result_type: Any) -> Any:
    """The result kept for this request, else None; for work that is more than one transaction.

    Such work must repeat safely by itself: of two requests at once both do it. Raises what `write` raises.
    """
    kept: _Kept[Any] | None = await _kept(request, caller, result_type, None)
    if kept is None:
        return None
    steady = house(request).clock.steady()
    found = await house(request).store.read(lambda connection: kept.find(connection, steady))
    return None if found is None else found[0]


async def keep(request: Request, caller: Who, result_type: Any, result: Any) -> None:
    """Keep the result of such work, if the request has an Idempotency-Key; of two at once the first one's stays."""
    if "idempotency-key" in request.headers:
        await write(request, caller, result_type, lambda tx: result)


def forget_old_keys(tx: Transaction) -> None:
    """Drop what was kept for longer than promised."""
    old = idempotency_keys.c.created_at < tx.steady - KEEP_SECONDS * 1000
    tx.connection.execute(delete(idempotency_keys).where(old))


async def tell_delivery(request: Request, response: Response, cart_id: int, seq: int | None) -> None:
    """Set Hardware-Delivery for a command this call made; with `Prefer: wait=N` wait up to N s for its receipt."""
    if seq is None:
        return
    match = _WAIT.search(request.headers.get("prefer", ""))
    wait = min(int(match[1]), MAX_WAIT) if match else 0
    try:
        state = await house(request).dispatch.delivery(cart_id, seq, wait)
    except Unavailable:
        state = "queued"  # no less than that: it is committed, and no error may say otherwise
    response.headers["Hardware-Delivery"] = state
    if match:
        response.headers["Preference-Applied"] = f"wait={wait}"
