"""Runs a transition for a request: once per Idempotency-Key, and says what became of its command."""

import re
from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final, TypeVar

from fastapi import Request, Response
from pydantic import TypeAdapter
from sqlalchemy import delete, insert, select

from duckycart.api.who import address, house
from duckycart.errors import BadRequest, Mismatch
from duckycart.lifecycle.who import Who
from duckycart.store.engine import Transaction
from duckycart.store.tables import idempotency_keys

T = TypeVar("T")

KEEP_SECONDS: Final = 24 * 3600
MAX_WAIT: Final = 5
_KEY: Final = re.compile(r"[\x21-\x7e]{1,200}")
_WAIT: Final = re.compile(r"(?:^|[,;\s])wait=(\d{1,4})(?:$|[,;\s])")


async def write(request: Request, caller: Who | None, result_type: Any, work: Callable[[Transaction], T]) -> T:
    """Run `work` as one transaction and return its result, which is of `result_type`.

    With an Idempotency-Key the result is kept for 24 h in the same transaction, and a repetition of the request gets it
    without running `work` again. Scope: who asks, method and path. Only successes are kept: what was refused changed
    nothing and may be tried again. Raises BadRequest for a malformed key, Mismatch for one of another body.
    """
    key = request.headers.get("idempotency-key")
    if key is None:
        return await house(request).store.write(work)
    if _KEY.fullmatch(key) is None:
        raise BadRequest("bad_idempotency_key", "Idempotency-Key must be 1 to 200 visible ASCII characters.")
    scope = sha256(f"{caller or address(request)} {request.method} {request.url.path}".encode()).hexdigest()
    fingerprint = sha256(await request.body()).digest()
    adapter: TypeAdapter[T] = TypeAdapter(result_type)

    def once(tx: Transaction) -> T:
        kept = tx.connection.execute(
            select(idempotency_keys.c.fingerprint, idempotency_keys.c.result, idempotency_keys.c.created_at).where(
                idempotency_keys.c.scope == scope, idempotency_keys.c.key == key
            )
        ).one_or_none()
        if kept is not None and kept.created_at > tx.now - KEEP_SECONDS * 1000:
            if kept.fingerprint != fingerprint:
                raise Mismatch("idempotency_key_reused", "This Idempotency-Key was used for another request.")
            return adapter.validate_json(kept.result)
        if kept is not None:
            tx.connection.execute(
                delete(idempotency_keys).where(idempotency_keys.c.scope == scope, idempotency_keys.c.key == key)
            )
        result = work(tx)
        tx.connection.execute(
            insert(idempotency_keys).values(
                scope=scope,
                key=key,
                fingerprint=fingerprint,
                result=adapter.dump_json(result).decode(),
                created_at=tx.now,
            )
        )
        return result

    return await house(request).store.write(once)


def forget_old_keys(tx: Transaction) -> None:
    """Drop what was kept for longer than promised."""
    tx.connection.execute(delete(idempotency_keys).where(idempotency_keys.c.created_at < tx.now - KEEP_SECONDS * 1000))


async def tell_delivery(request: Request, response: Response, cart_id: int, seq: int | None) -> None:
    """Set Hardware-Delivery for a command this call made; with `Prefer: wait=N` wait up to N s for its receipt."""
    if seq is None:
        return
    match = _WAIT.search(request.headers.get("prefer", ""))
    wait = min(int(match[1]), MAX_WAIT) if match else 0
    state = await house(request).dispatch.delivery(cart_id, seq, wait)
    response.headers["Hardware-Delivery"] = state
    if match:
        response.headers["Preference-Applied"] = f"wait={wait}"
