"""What both stores share: jobs that wait in two queues, threads that write them, readers beside these."""

import asyncio
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import structlog
from sqlalchemy import Connection, Engine

from duckycart.clock import MachineClock
from duckycart.errors import DuckyCartError, Unavailable
from duckycart.store.engine import EffectsHandler, Job, Transaction, database_failed
from duckycart.store.steady import SteadyClock

T = TypeVar("T")
log = structlog.get_logger()

WAITING: Final = 20_000  # jobs, and as many reads; beyond it the answer is 503 at once instead of late


class ThreadedStore(ABC):
    """See `Store`. Made inside the event loop that it answers to, on a database that has its schema."""

    def __init__(
        self, engine: Engine, clock: MachineClock, on_effects: EffectsHandler, *, writers: int, readers: int
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.clock = SteadyClock(clock)
        self._on_effects = on_effects
        self._engine = engine
        self._hurry: deque[Job] = deque()
        self._later: deque[Job] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._local = threading.local()  # each reader thread's own connection
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix="reader")
        self._reader_connections: set[Connection] = set()
        self._reads = 0  # asked for ever; so each has a number
        self._reading = 0  # waiting, or in a reader's thread
        self._failed_reads = 0  # up to which number
        self._writers = [
            threading.Thread(target=self._work, name=f"writer-{number}", daemon=True) for number in range(writers)
        ]

    def _start(self) -> None:
        """For the end of a subclass's own beginning."""
        for writer in self._writers:
            writer.start()

    def write(self, work: Callable[[Transaction], T], *, hurry: bool = True) -> asyncio.Future[T]:
        future: asyncio.Future[T] = self._loop.create_future()

        def answer(job: Job) -> None:
            if future.cancelled():
                return
            if job.error is None:
                future.set_result(job.result)
            else:
                future.set_exception(job.error)

        with self._changed:
            if self._closing:
                future.set_exception(Unavailable("stopping", "The server is stopping.", retry_after=2))
            elif len(self._hurry) + len(self._later) >= WAITING:
                future.set_exception(_overloaded())
            else:
                (self._hurry if hurry else self._later).append(Job(work, answer))
                self._changed.notify()
        return future

    async def read(self, look: Callable[[Connection], T]) -> T:
        if self._closing:
            raise Unavailable("stopping", "The server is stopping.", retry_after=2)
        if self._reading >= WAITING:
            raise _overloaded()
        self._reads += 1
        self._reading += 1
        try:
            return await self._loop.run_in_executor(self._readers, self._read_in_turn, look, self._reads)
        finally:
            self._reading -= 1

    async def close(self) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for writer in self._writers:
            await self._loop.run_in_executor(None, writer.join)
        await asyncio.sleep(0)  # the last answers are in the loop's queue before this
        self._readers.shutdown()
        for connection in self._reader_connections:
            connection.close()
        self._engine.dispose()

    # In the threads

    def _read_in_turn(self, look: Callable[[Connection], T], number: int) -> T:
        if number <= self._failed_reads:
            raise database_failed(ConnectionError("found gone by another read, while this one waited"))
        return self._read(look)

    def _fail_reads(self) -> None:
        """The database is not there. All reads that wait fail now: each waiting in turn would be answered late."""
        self._failed_reads = self._reads

    @abstractmethod
    def _read(self, look: Callable[[Connection], T]) -> T:
        """What `read` does, in a reader's thread."""

    @abstractmethod
    def _work(self) -> None:
        """A writer's thread: `_next` until there is none, and `_hand_back` what came of it."""

    def _reader_connection(self) -> Connection:
        """This reader thread's own, for as long as it works."""
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._open_reader()
            self._reader_connections.add(connection)
        return connection

    @abstractmethod
    def _open_reader(self) -> Connection:
        """A connection that can only read."""

    def _next(self, *, wait: bool) -> Job | None:
        """The next job; None when there is none, with `wait` only at the end of the store."""
        with self._changed:
            while True:
                if self._hurry:
                    return self._hurry.popleft()
                if self._later:
                    return self._later.popleft()
                if not wait or self._closing:
                    return None
                self._changed.wait()

    def _all_waiting(self) -> list[Job]:
        """Every job that waits; none waits any more."""
        with self._changed:
            waiting = [*self._hurry, *self._later]
            self._hurry.clear()
            self._later.clear()
        return waiting

    def _hand_back(self, jobs: list[Job]) -> None:
        """Their callers may know now. Raises RuntimeError when the loop is gone, and nobody is left to be told."""
        self._loop.call_soon_threadsafe(self._deliver, jobs)

    # Back in the event loop

    def _deliver(self, jobs: list[Job]) -> None:
        for job in jobs:
            if job.effects:
                try:
                    self._on_effects(job.effects)
                except Exception:  # effects are hints; nobody may be left without an answer for one
                    log.exception("effects not handed out")
            job.answer(job)
            job.error = None  # its traceback holds the job, and with it whatever the work was about


def _overloaded() -> DuckyCartError:
    return Unavailable("overloaded", "The server has too much to do; try again shortly.", retry_after=2)
