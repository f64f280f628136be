"""Claims share transactions, and so do releases: each batch is one transaction for many carts.

When a store's power comes back, thousands of carts ask in the same second. Nobody waits for a batch to fill: whoever
asks while the store is idle goes at once, and whoever asks while a batch is under way goes with the next one, together
with all who came meanwhile. So batches grow with the load by themselves.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from duckycart.hardware.admission import A_TURN
from duckycart.hardware.background import Background
from duckycart.store.transaction import Store, Transaction

Item = TypeVar("Item")
Result = TypeVar("Result")

BATCH: Final = 64  # carts in one transaction: a shopper's scan waits for at most one on SQLite


@dataclass(slots=True, eq=False)
class Asking(Generic[Item, Result]):
    """One item that waits for a batch, or is in one that is under way."""

    cart_id: int
    item: Item
    done: "asyncio.Future[Result]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Batches(Generic[Item, Result]):
    """Collects items into transactions; `work` does the items of one and returns what became of each, in their order.

    A batch has each cart at most once, and no cart that a batch under way has: one cart's items are done in the order
    in which they came.
    """

    def __init__(
        self,
        store: Store,
        background: Background,
        at_once: int,
        work: Callable[[Transaction, list[Item]], list[Result]],
    ) -> None:
        self._store = store
        self._background = background
        self._work = work
        self._idle = at_once  # transactions that may still be begun
        self._waiting: deque[Asking[Item, Result]] = deque()
        self._under_way: set[int] = set()  # carts

    def __len__(self) -> int:
        """Return how many items wait or are under way."""
        return len(self._waiting) + len(self._under_way)

    def ask(self, cart_id: int, item: Item) -> "asyncio.Future[Result]":
        """Put the item into the next batch; the future becomes its result. The future fails as the transaction does,
        and with it all others in its batch. Cancelling it does not undo work that has begun."""
        asking = Asking[Item, Result](cart_id, item)
        self._waiting.append(asking)
        if self._idle:
            self._idle -= 1
            self._background.begin(self._go_on())
        return asking.done

    async def _go_on(self) -> None:
        try:
            while batch := self._take():
                await self._write(batch)
        finally:
            self._idle += 1

    def _take(self) -> list[Asking[Item, Result]]:
        batch: list[Asking[Item, Result]] = []
        too_soon: list[Asking[Item, Result]] = []
        while self._waiting and len(batch) < BATCH:
            asking = self._waiting.popleft()
            if asking.cart_id in self._under_way:
                too_soon.append(asking)
            else:
                self._under_way.add(asking.cart_id)
                batch.append(asking)
        self._waiting.extendleft(reversed(too_soon))
        return batch

    async def _write(self, batch: list[Asking[Item, Result]]) -> None:
        items = [asking.item for asking in batch]
        try:
            results = await self._store.write(lambda tx: self._work(tx, items), hurry=False)
        except Exception as error:
            for asking in batch:
                if not asking.done.done():
                    asking.done.set_exception(error)
        else:
            for number, (asking, result) in enumerate(zip(batch, results, strict=True), 1):
                if not asking.done.done():
                    asking.done.set_result(result)
                if number % A_TURN == 0:
                    await asyncio.sleep(0)  # what each does now takes half a millisecond; shoppers go in between
        finally:
            for asking in batch:
                self._under_way.discard(asking.cart_id)
                del asking.done  # a failure's traceback holds the batch, so the batch must not hold the failure
