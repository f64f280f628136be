"""A cart and its store without a server: transitions called by name, one after the other."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import select

from duckycart.effects import Effect, Queued
from duckycart.lifecycle import basket, payments, qr, sessions
from duckycart.lifecycle.access import ByCart, ByOperator, ByShopper
from duckycart.lifecycle.carts import lock_with_phase
from duckycart.lifecycle.rules import Rules
from duckycart.lifecycle.transitions import Phase
from duckycart.providers.protocol import OpenedPayment
from duckycart.store.database import open_database
from duckycart.store.tables import metadata
from duckycart.store.transaction import Store, Transaction
from duckycart.testing.clock import ManualClock
from duckycart.testing.furnish import BREAD, MILK, add_carts, add_product, add_user

T = TypeVar("T")

RULES = Rules()
CART = ByCart(1)
MONA, OMAR = ByShopper(1), ByShopper(2)
OPERATOR = ByOperator(99)
FAR = 2**53  # an expiry that is not the matter of the test


@dataclass
class CartInStore:
    store: Store
    clock: ManualClock
    effects: list[Effect] = field(default_factory=list)

    async def do(self, work: Callable[[Transaction], T]) -> T:
        return await self.store.write(work)

    async def phase(self) -> Phase:
        return await self.do(lambda tx: lock_with_phase(tx, 1).phase)

    async def snapshot(self) -> dict[str, list[Any]]:
        """Everything that is in the database."""

        def look(connection: Any) -> dict[str, list[Any]]:
            return {t.name: [tuple(r) for r in connection.execute(select(t))] for t in metadata.sorted_tables}

        return await self.store.read(look)

    def queued(self) -> list[str]:
        """The types of the commands queued so far, in order."""
        return [effect.command.type.value for effect in self.effects if isinstance(effect, Queued)]

    # The steps of a shopper, by the names of the transitions

    async def get_qr(self) -> qr.Qr:
        return await self.do(lambda tx: qr.get_qr(tx, 1, RULES))

    async def create_session(self, qr_round: int, who: ByShopper = MONA) -> int:
        started = await self.do(lambda tx: sessions.create_session(tx, 1, qr_round, FAR, who.user_id, RULES))
        return started.session.id

    async def start(self, who: ByShopper = MONA) -> int:
        return await self.create_session((await self.get_qr()).round, who)

    async def add(self, session_id: int, barcode: int = MILK) -> basket.Line:
        return await self.do(lambda tx: basket.add_item(tx, CART, session_id, barcode, None, RULES))

    async def begin_payment(self, session_id: int, who: ByShopper = MONA) -> payments.Payment:
        return await self.do(lambda tx: payments.create_payment(tx, who, session_id, "test", None, RULES))

    async def open_payment(self, payment_id: int) -> payments.Opened:
        opened = OpenedPayment(f"ref-{payment_id}", "http://pay")
        return await self.do(lambda tx: payments.open_payment(tx, payment_id, opened))

    async def fail_payment(self, payment_id: int) -> None:
        await self.do(lambda tx: payments.fail_payment(tx, payment_id))

    async def close_payment(self, payment_id: int) -> None:
        await self.do(lambda tx: payments.close_payment(tx, payment_id))

    async def settle(self, payment_id: int, amount: int, currency: str = "EGP") -> str:
        return await self.do(lambda tx: payments.settle_payment(tx, payment_id, amount, currency, RULES))

    async def force_end(self, session_id: int) -> sessions.Ended:
        return await self.do(lambda tx: sessions.force_end(tx, OPERATOR, session_id, RULES))


@asynccontextmanager
async def open_cart_in_store(database: str) -> AsyncIterator[CartInStore]:
    """Open a store with cart 1 (online), two shoppers, milk and bread."""
    clock = ManualClock()
    effects: list[Effect] = []
    opened = open_database(database)
    store = opened.open(clock, effects.extend)

    def furnish(tx: Transaction) -> None:
        add_carts(tx, [1], link_node="here")
        for user_id, name in ((1, "mona"), (2, "omar")):
            add_user(tx, f"{name}@example.com", id=user_id, full_name=name)
        for barcode, price in ((MILK, 1250), (BREAD, 500)):
            add_product(tx, barcode, "", price)

    try:
        await store.write(furnish)
        yield CartInStore(store, clock, effects)
    finally:
        await store.close()
        opened.release()
