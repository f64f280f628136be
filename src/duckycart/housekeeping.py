"""Housekeeping does what time alone brings about: it ends idle sessions, takes up payments left open, drops old
results."""

from contextlib import suppress
from typing import Final

from duckycart.errors import DuckyCartError
from duckycart.lifecycle.idempotency import forget_old_keys
from duckycart.lifecycle.rules import Rules
from duckycart.lifecycle.sessions import end_if_idle, idle_sessions
from duckycart.payments.checkout import Checkout
from duckycart.store.transaction import Store

HOUSEKEEPING_SECONDS: Final = 10.0


class Housekeeping:
    """One round of tidying; each step may be repeated and judges again under the cart's lock."""

    def __init__(self, store: Store, rules: Rules, checkout: Checkout) -> None:
        self._store = store
        self._rules = rules
        self._checkout = checkout

    async def __call__(self) -> None:
        await self._store.write(lambda tx: self._store.clock.keep(tx.connection), hurry=False)
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


async def keep_time(store: Store) -> None:
    """Write down the steady clock at the server's end. A database that is away now keeps what the last round wrote."""
    with suppress(DuckyCartError):
        await store.write(lambda tx: store.clock.keep(tx.connection))
