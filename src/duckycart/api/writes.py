"""A request runs its transition, once per Idempotency-Key, and is told what became of the command to the cart."""

import re
from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final, TypeVar

from fastapi import Request, Response
from pydantic import TypeAdapter

from duckycart.api.who import address, shop_of
from duckycart.errors import Unavailable
from duckycart.lifecycle.access import Who
from duckycart.lifecycle.idempotency import Repeatable
from duckycart.refusals import BAD_IDEMPOTENCY_KEY
from duckycart.store.states import CommandState
from duckycart.store.transaction import Transaction

T = TypeVar("T")

MAX_WAIT: Final = 5
MAX_KEY: Final = 200
_KEY: Final = re.compile(rf"[\x21-\x7e]{{1,{MAX_KEY}}}")
_WAIT: Final = re.compile(r"(?:^|[,;\s])wait=(\d{1,4})(?:$|[,;\s])")


async def _repeatable(
    request: Request, caller: Who | None, result_type: Any, body: bytes | None
) -> Repeatable[Any] | None:
    """Return what the request's Idempotency-Key stands for; None where it has none. Raises BadRequest for a malformed
    one."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if _KEY.fullmatch(key) is None:
        raise BAD_IDEMPOTENCY_KEY(length=MAX_KEY)
    scope = sha256(f"{caller or address(request)} {request.method} {request.url.path}".encode()).hexdigest()
    fingerprint = sha256(await request.body() if body is None else body).digest()
    adapter: TypeAdapter[Any] = TypeAdapter(result_type)
    return Repeatable(scope, key, fingerprint, adapter.dump_json, adapter.validate_json)


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
    keyed: Repeatable[T] | None = await _repeatable(request, caller, result_type, body)
    return await shop_of(request).store.write(work if keyed is None else lambda tx: keyed.once(tx, work))


async def recall(request: Request, caller: Who, result_type: Any) -> Any:
    """Return the result kept for this request, else None; for work that is more than one transaction.

    Such work must repeat safely by itself: of two requests at once both do it. Raises what `write` raises.
    """
    keyed = await _repeatable(request, caller, result_type, None)
    if keyed is None:
        return None
    steady = shop_of(request).clock.steady()
    found = await shop_of(request).store.look_up(lambda connection: keyed.find(connection, steady))
    return None if found is None else found[0]


async def keep(request: Request, caller: Who, result_type: Any, result: Any) -> None:
    """Keep the result of work of several transactions, if the request has an Idempotency-Key; of two at once the first
    one's stays."""
    if "idempotency-key" in request.headers:
        await write(request, caller, result_type, lambda tx: result)


async def tell_delivery(request: Request, response: Response, cart_id: int, seq: int | None) -> None:
    """Set Hardware-Delivery for a command this call made; with `Prefer: wait=N` wait up to N s for its receipt."""
    if seq is None:
        return
    match = _WAIT.search(request.headers.get("prefer", ""))
    wait = min(int(match[1]), MAX_WAIT) if match else 0
    try:
        state = await shop_of(request).dispatch.delivery(cart_id, seq, wait)
    except Unavailable:
        state = CommandState.QUEUED  # no less than that: it is committed, and no error may say otherwise
    response.headers["Hardware-Delivery"] = state
    if match:
        response.headers["Preference-Applied"] = f"wait={wait}"
