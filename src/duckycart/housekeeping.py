"""What time alone brings about: idle sessions, payments left open, results kept long enough."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from duckycart.errors import DuckyCartError
from duckycart.lifecycle.idempotency import forget_old_keys
from duckycart.lifecycle.rules import Rules
from duckycart.lifecycle.sessions import end_if_idle, idle_sessions
from duckycart.payments.checkout import Checkout
from duckycart.store.engine import Store

log = structlog.get_logger()

HOUSEKEEPING_SECONDS: Final = 10.0


class Housekeeping:
    """One round of tidying; each step may be repeated and judges again under the cart's lock."""

    def __init__(self, store: Store, rules: Rules, checkout: Checkout) -> None:
        self._store = store
        self._rules = rules
        self._checkout = checkout

    async def __call__(self) -> None:
        await self._store.write(self._store.clock.keep, hurry=False)
        await self.end_idle_sessions()
        await self._store.write(forget_old_keys, hurry=False)
        await self._checkout.reconcile()  # the last: it waits for somebody else

    async def end_idle_sessions(self) -> None:
        steady, rules = self._store.clock.steady(), self._rules
        for session_id, cart_id in await self._store.read(lambda connection: idle_sessions(connection, steady, rules)):
            await self._store.write(
                lambda tx, session_id=session_id, cart_id=cart_id: end_if_idle(tx, session_id, cart_id, rules),  # type: ignore[misc]
                hurry=False,
            )


async def every(seconds: float, name: str, work: Callable[[], Awaitable[None] | None]) -> None:
    """Do `work` again and again, for ever. An error of one round is logged and does not end the rounds."""
    while True:
        await asyncio.sleep(seconds)
        try:
            result = work()
            if inspect.isawaitable(result):
                await result
        except DuckyCartError as error:
            log.warning("round failed", what=name, reason=error.code)
        except Exception:
            log.exception("round failed", what=name)
