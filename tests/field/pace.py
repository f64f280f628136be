"""Time in the field, which only the tests move: every wait of the doubles is a wait for this clock."""

import asyncio
import heapq
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from duckycart.testing.waiting import until
from tests.world import Shop

ROUNDS = 4  # of the event loop in each second of the clock: whoever lives has read, answered and been heard in time


class Pace:
    """Moves the shop's clock on by small steps, and does at each what the server's timers would do."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.seconds = 0  # since the beginning
        self._waiting: list[tuple[float, int, Callable[[], object]]] = []  # what to do, and when
        self._count = 0  # breaks ties in the heap

    def now(self) -> int:
        """What the server's clock says, in milliseconds."""
        return self.shop.clock.now()

    async def run(self) -> None:
        """Move on for ever."""
        while True:
            await asyncio.sleep(0.004)  # threads and sockets need some real time as well
            for _ in range(ROUNDS):
                await asyncio.sleep(0)
            # Nor does time pass while a screen waits for its answer: that the machine is busy is no minute of grace.
            await until(lambda: not len(self.shop.inside.openings))
            await self._step()

    async def _step(self) -> None:
        self.seconds += 1
        self.shop.clock.move(1)
        self.shop.tick()
        self.shop.inside.channels.tick()
        if self.seconds % 5 == 0:
            await self.shop.sweep()
            await self.shop.inside.channels.sweep()
        if self.seconds % 20 == 0:
            await self.shop.housekeeping()
        self._ring()

    def _ring(self) -> None:
        """Do what is due."""
        while self._waiting and self._waiting[0][0] <= self.seconds:
            heapq.heappop(self._waiting)[2]()

    def _after(self, seconds: float, work: Callable[[], object]) -> None:
        self._count += 1
        heapq.heappush(self._waiting, (self.seconds + seconds, self._count, work))

    async def sleep(self, seconds: float = 1) -> None:
        """Until the clock has moved on by so much."""
        wake: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def ring() -> None:
            if not wake.done():
                wake.set_result(None)

        self._after(seconds, ring)
        await wake

    @asynccontextmanager
    async def limit(self, seconds: float) -> AsyncIterator[None]:
        """Raises TimeoutError in the block when the clock has moved on by so much before its end."""
        over = False
        async with asyncio.timeout(None) as limit:

            def ring() -> None:
                if not over:
                    limit.reschedule(0)

            self._after(seconds, ring)
            try:
                yield
            finally:
                over = True

    async def until(self, condition: Callable[[], Any], what: Callable[[], str], within: float = 400) -> None:
        """Until something holds. Fails, saying `what` is stuck, when it does not within so many seconds."""
        end = self.seconds + within
        while not condition():
            assert self.seconds < end, f"stuck for {within} s: {what()}"
            await self.sleep()


class Tasks:
    """What the doubles do beside each other; an error of any of them is an error of the test."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        return task

    def failures(self) -> list[BaseException]:
        ended = [task for task in self._tasks if task.done() and not task.cancelled()]
        return [error for task in ended if (error := task.exception()) is not None]

    async def stop(self) -> None:
        """All of them are over, and what they held is let go."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
