"""Both stores share this: jobs that wait in queues, threads that do them, and a deadline for each answer."""

import asyncio
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

import structlog
from sqlalchemy import Connection, Engine

from duckycart.clock import Clock
from duckycart.errors import Unavailable
from duckycart.store.queue import Queue
from duckycart.store.steady import SteadyClock
from duckycart.store.transaction import EffectsHandler, Job, Transaction, database_failed, outcome_unknown

T = TypeVar("T")
log = structlog.get_logger()

ANSWER_SECONDS: Final = 4.0  # until a caller is told, whatever the database does: a request promises 5
CLOSE_SECONDS: Final = 10.0  # for the threads at the end; one whose disk hangs never comes back


class Silent(Exception):
    """The database did not answer in time; what was asked of it may still be under way."""


class ThreadedStore(ABC):
    """A `Store` whose work is done in threads. Made inside the event loop that it answers to, on a database that has
    its schema."""

    def __init__(self, engine: Engine, clock: Clock, on_effects: EffectsHandler, *, writers: int, readers: int) -> None:
        self._loop = asyncio.get_running_loop()
        self.clock = SteadyClock(clock)
        self._on_effects = on_effects
        self._engine = engine
        self._writes = Queue()
        self._reads = Queue()
        self.failures = 0
        self._stands_still = False  # somebody was given up, and nothing was committed since
        self._local = threading.local()  # each reader thread's own connection
        self._reader_connections: set[Connection] = set()
        # Daemons: one that a disk holds must not hold the end of the process.
        self._writers = [
            threading.Thread(target=self._work, name=f"writer-{number}", daemon=True) for number in range(writers)
        ]
        self._readers = [
            threading.Thread(target=self._look, name=f"reader-{number}", daemon=True) for number in range(readers)
        ]

    def _start(self) -> None:
        """Start the threads; a subclass calls this when it is ready for them."""
        for thread in (*self._writers, *self._readers):
            thread.start()

    def write(
        self, work: Callable[[Transaction], T], *, hurry: bool = True, within: float | None = None
    ) -> asyncio.Future[T]:
        return self._ask(self._writes, work, hurry=hurry, within=within)

    async def read(self, look: Callable[[Connection], T]) -> T:
        return await self._ask(self._reads, look)

    async def look_up(self, look: Callable[[Connection], T]) -> T:
        return await self.read(look)

    def _ask(
        self, queue: Queue, work: Callable[[Any], T], *, hurry: bool = True, within: float | None = None
    ) -> asyncio.Future[T]:
        future: asyncio.Future[T] = self._loop.create_future()

        def answer(job: Job) -> None:
            deadline.cancel()
            if future.done():  # cancelled, or told at the deadline
                return
            if job.error is None:
                future.set_result(job.result)
            else:
                future.set_exception(job.error)

        def give_up() -> None:
            if job.done:
                return
            self.failures += 1
            self._stands_still = True
            silent = Silent(f"no answer for {seconds} s")
            kept_nothing = queue.give_up(job)
            if not future.done():
                future.set_exception(database_failed(silent) if kept_nothing else outcome_unknown(silent))

        job = Job(work, answer)
        refused = queue.put(job, hurry=hurry)
        if refused is not None:
            future.set_exception(refused)
        else:
            seconds = ANSWER_SECONDS if within is None else within
            deadline = self._loop.call_later(seconds, give_up)
        return future

    async def close(self) -> None:
        threads = (*self._writers, *self._readers)
        self._writes.close()
        self._reads.close()
        await self._loop.run_in_executor(None, _join, threads)
        await asyncio.sleep(0)  # the last answers are in the loop's queue before this
        hanging = [thread.name for thread in threads if thread.is_alive()]
        if hanging:
            log.error("the database stands still, left as it is", threads=hanging)
            return
        for connection in self._reader_connections:
            connection.close()
        self._engine.dispose()

    # In the threads

    @abstractmethod
    def _work(self) -> None:
        """Do the jobs of `_writes` in a writer's thread until there is none, and `_hand_back` what came of each."""

    def _look(self) -> None:
        """Do the jobs of `_reads` in a reader's thread."""
        while (job := self._reads.next(wait=True)) is not None:
            try:
                job.result = self._read(job.work)
            except BaseException as error:
                job.fail(error)
            try:
                self._hand_back([job])
            except RuntimeError:
                return
            del job  # not to be held while this thread waits for the next

    @abstractmethod
    def _read(self, look: Callable[[Connection], T]) -> T:
        """Do what `read` promises, in a reader's thread."""

    def _fail_reads(self, error: BaseException) -> None:
        """Fail all reads that wait, since the database is not there: each waiting in turn would be answered late."""
        waiting = self._reads.take_all()
        for job in waiting:
            job.fail(database_failed(error))
        self._hand_back(waiting)

    def _reader_connection(self) -> Connection:
        """Return the connection of the reader thread that calls; it keeps one for as long as it works."""
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._open_reader()
            self._reader_connections.add(connection)
        return connection

    @abstractmethod
    def _open_reader(self) -> Connection:
        """Return a new connection that can only read."""

    def _hand_back(self, jobs: list[Job]) -> None:
        """Let the event loop answer the callers of these jobs. Raises RuntimeError when the loop is gone, and with it
        all callers."""
        for job in jobs:
            job.done = True
        self._loop.call_soon_threadsafe(self._deliver, jobs)

    # Back in the event loop

    def _deliver(self, jobs: list[Job]) -> None:
        for job in jobs:
            self.failures += isinstance(job.error, Unavailable)
            if job.committing and job.error is None:
                self._stands_still = False
            if job.effects:
                try:
                    self._on_effects(job.effects)
                except Exception:  # effects are hints; nobody may be left without an answer for one
                    log.exception("effects not handed out")
            job.answer(job)
            job.error = None  # its traceback holds the job, and with it whatever the work was about


def _join(threads: Iterable[threading.Thread]) -> None:
    until = time.monotonic() + CLOSE_SECONDS
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
