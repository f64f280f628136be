"""How claims and releases gather while others are at the store: nobody waits for a batch to fill."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from duckycart.errors import Unavailable
from duckycart.hardware.background import Background
from duckycart.hardware.batches import BATCH, Batches
from duckycart.refusals import DATABASE_UNAVAILABLE
from duckycart.store.transaction import Store, Transaction
from duckycart.testing.waiting import until


class HeldStore:
    """Does a transaction when the test says so."""

    def __init__(self) -> None:
        self._held: list[tuple[Callable[[Any], Any], asyncio.Future[Any]]] = []

    def write(self, work: Callable[[Any], Any], *, hurry: bool) -> "asyncio.Future[Any]":
        assert not hurry
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._held.append((work, future))
        return future

    async def done(self, error: Exception | None = None) -> None:
        """The oldest transaction that was handed over is done, or failed."""
        await until(lambda: self._held)
        work, future = self._held.pop(0)
        if error is None:
            future.set_result(work(None))
        else:
            future.set_exception(error)

    @property
    def held(self) -> int:
        return len(self._held)


class Bench:
    """Batches over a held store, which answer each item with its double."""

    def __init__(self, at_once: int = 1) -> None:
        self.store = HeldStore()
        self.did: list[list[int]] = []
        self.batches = Batches[int, int](cast(Store, self.store), Background(), at_once, self._work)

    def _work(self, tx: Transaction, items: list[int]) -> list[int]:
        self.did.append(items)
        return [2 * item for item in items]

    async def first_one_at_the_store(self) -> "asyncio.Future[int]":
        first = self.batches.ask(0, 0)
        await until(lambda: self.store.held)
        return first


async def test_one_alone_goes_at_once_and_those_who_come_meanwhile_go_together() -> None:
    bench = Bench()
    first = await bench.first_one_at_the_store()
    others = [bench.batches.ask(cart, cart) for cart in range(1, BATCH + 3)]
    assert len(bench.batches) == BATCH + 3
    for _ in range(3):
        await bench.store.done()
    assert await asyncio.gather(first, *others) == [2 * cart for cart in range(BATCH + 3)]
    assert bench.did == [[0], list(range(1, BATCH + 1)), [BATCH + 1, BATCH + 2]]
    assert len(bench.batches) == 0


async def test_no_more_transactions_than_allowed_are_at_the_store() -> None:
    bench = Bench(at_once=2)
    await bench.first_one_at_the_store()
    bench.batches.ask(1, 1)
    await until(lambda: bench.store.held == 2)
    waits = bench.batches.ask(2, 2)
    await asyncio.sleep(0)
    assert bench.store.held == 2
    await bench.store.done()
    await until(lambda: bench.store.held == 2)
    await bench.store.done()
    await bench.store.done()
    assert await waits == 4


async def test_what_asks_twice_for_one_cart_is_done_in_order_in_two_batches() -> None:
    bench = Bench(at_once=2)
    first = await bench.first_one_at_the_store()
    again = [bench.batches.ask(0, 10), bench.batches.ask(1, 1), bench.batches.ask(0, 20)]
    for _ in range(4):
        await bench.store.done()
    assert await asyncio.gather(first, *again) == [0, 20, 2, 40]
    assert bench.did == [[0], [1], [10], [20]]


async def test_a_batch_that_fails_fails_for_all_in_it_and_the_next_goes_on() -> None:
    bench = Bench()
    await bench.first_one_at_the_store()
    asked = [bench.batches.ask(cart, cart) for cart in (1, 2)]
    await bench.store.done()
    await bench.store.done(DATABASE_UNAVAILABLE())
    for future in asked:
        with pytest.raises(Unavailable):
            await future
    next_one = bench.batches.ask(1, 1)
    await bench.store.done()
    assert await next_one == 2


async def test_who_gave_up_does_not_keep_the_others_from_their_answers() -> None:
    bench = Bench()
    await bench.first_one_at_the_store()
    asked = [bench.batches.ask(cart, cart) for cart in (1, 2)]
    asked[0].cancel()
    await bench.store.done()
    await bench.store.done()
    assert await asked[1] == 4
