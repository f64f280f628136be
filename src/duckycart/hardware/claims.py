"""Claims and releases on their way to the store, many in one transaction.

When a store's power comes back, thousands of carts ask in the same second. Nobody waits for a batch to fill: whoever
asks while the store is idle goes at once, and whoever asks while a batch is under way goes with the next one, together
with all who came meanwhile. So batches grow with the load by themselves.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

import structlog

from duckycart.errors import DuckyCartError
from duckycart.hardware.admission import A_TURN
from duckycart.hardware.catchup import Filled
from duckycart.hardware.ending import Ended, Ending, Gone, Refused
from duckycart.hardware.links import Connection
from duckycart.hardware.ownership import Claim, claim_many, release_many
from duckycart.refusals import STOPPING
from duckycart.store.engine import Store, Transaction

log = structlog.get_logger()

Item = TypeVar("Item")
Result = TypeVar("Result")
Spawn = Callable[[Coroutine[Any, Any, None]], None]

BATCH: Final = 64  # carts in one transaction: a shopper's scan waits for at most one on SQLite
CLAIMING: Final = 2  # transactions of claims at the store at a time: the other goes on while one waits for a lock
RELEASING: Final = 1


@dataclass(slots=True, eq=False)
class Asking(Generic[Item, Result]):
    """One who waits for a batch, or is in one that is under way."""

    cart_id: int
    item: Item
    done: "asyncio.Future[Result]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Batches(Generic[Item, Result]):
    """`work` does many items in one transaction and returns what became of each, in their order.

    A batch has each cart at most once, and no cart that a batch under way has: one cart's items are done in the order
    in which they came.
    """

    def __init__(
        self, store: Store, spawn: Spawn, at_once: int, work: Callable[[Transaction, list[Item]], list[Result]]
    ) -> None:
        self._store = store
        self._spawn = spawn
        self._work = work
        self._idle = at_once  # transactions that may still be begun
        self._waiting: deque[Asking[Item, Result]] = deque()
        self._under_way: set[int] = set()  # carts

    def __len__(self) -> int:
        """How many wait or are under way."""
        return len(self._waiting) + len(self._under_way)

    def ask(self, cart_id: int, item: Item) -> "asyncio.Future[Result]":
        """The future fails as the transaction does, and with it all others in its batch. Cancelling it does not undo
        work that has begun."""
        asking = Asking[Item, Result](cart_id, item)
        self._waiting.append(asking)
        if self._idle:
            self._idle -= 1
            self._spawn(self._go_on())
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


class Claims:
    """Which connection owns a cart, as the database has it: claims it for one, and releases it when that is gone."""

    def __init__(self, store: Store, node: str, spawn: Spawn) -> None:
        self._spawn = spawn
        self._claims = Batches[Claim, Filled | Refused](
            store, spawn, CLAIMING, lambda tx, claims: claim_many(tx, claims, node)
        )
        self._releases = Batches[Gone, None](store, spawn, RELEASING, _release)
        self._unreleased: dict[tuple[int, int], Gone] = {}  # by (cart, epoch): what the database could not release yet

    def __len__(self) -> int:
        """How many claims and releases are not settled yet."""
        return len(self._claims) + len(self._releases) + len(self._unreleased)

    async def claim(
        self, connection: Connection, key_hash: bytes | None, boot_id: str | None, address: str | None
    ) -> Filled | Refused:
        """The cart is this connection's; else why it may not have it, CART_LEFT if it was gone before its turn came.
        Raises DuckyCartError when the database did not do it.

        Giving up does not undo a claim that was made: it is then released by its epoch.
        """
        cart_id = connection.link.cart_id
        given_up = False
        wanted = Claim(cart_id, key_hash, boot_id, lambda: not (given_up or connection.gone), address)
        done = self._claims.ask(cart_id, wanted)
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            given_up = True
            self._spawn(self._release_late(cart_id, done))
            raise
        finally:
            del done  # likewise

    async def _release_late(self, cart_id: int, done: "asyncio.Future[Filled | Refused]") -> None:
        try:
            filled = await done
        except DuckyCartError:
            return  # it never happened
        if isinstance(filled, Filled):
            await self._release(Gone(cart_id, filled.epoch, Ending(Ended.NEVER_OPENED)))

    def release(self, cart_id: int, epoch: int, ending: Ending | None = None) -> None:
        """The link of this epoch is gone; without `ending` nobody here knows how."""
        self._spawn(self._release(Gone(cart_id, epoch, ending)))

    async def _release(self, gone: Gone) -> None:
        try:
            await self._releases.ask(gone.cart_id, gone)
        except DuckyCartError as error:
            if error.refusal is not STOPPING:  # the next start releases every link
                log.error("link not released, trying again", cart=gone.cart_id, epoch=gone.epoch, reason=error.code)
                key = gone.cart_id, gone.epoch
                self._unreleased[key] = gone if gone.ending is not None else self._unreleased.get(key, gone)

    def release_again(self) -> None:
        """What the database could not do when the connection was lost, or the cart would count as online for ever."""
        unreleased, self._unreleased = self._unreleased, {}
        for gone in unreleased.values():
            self._spawn(self._release(gone))


def _release(tx: Transaction, links: list[Gone]) -> list[None]:
    release_many(tx, links)
    return [None] * len(links)
