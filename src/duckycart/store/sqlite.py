"""SQLite is the embedded store: one file, one writer thread that commits in groups, readers beside it.

The writer takes what waits, gives each member a savepoint, and commits once for all: at most `GROUP` members or
`GROUP_SECONDS`, so that one fsync serves many. Nobody is answered before that COMMIT returned. An error of a member
rolls back that member; but a full disk rolls back the whole transaction and leaves SQLite silently in autocommit, so
after each error the writer looks whether its transaction is still there. If not, or if COMMIT fails, all members fail.
"""

import fcntl
import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Final, TypeVar, cast

import structlog
from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event
from sqlalchemy.exc import DBAPIError, IntegrityError

from duckycart.clock import Clock
from duckycart.store.file import Place, make_private
from duckycart.store.steady import SteadyClock
from duckycart.store.threads import Silent, ThreadedStore
from duckycart.store.transaction import (
    DATABASE_IN_USE,
    EffectsHandler,
    Job,
    Transaction,
    database_failed,
    storable,
    violated,
)

T = TypeVar("T")
log = structlog.get_logger()

GROUP: Final = 64
GROUP_SECONDS: Final = 0.010
READERS: Final = 2
BUSY_SECONDS: Final = 3.0  # how long the server waits for the administration's short transactions
PATIENT_SECONDS: Final = 30.0  # how long the administration waits for the server


class FileLock:
    """A server's lock on its SQLite file, so that there is one server per file: advisory, in a file beside it, gone
    with the process however it dies."""

    def __init__(self, database: Path) -> None:
        """Take the lock. Raises DatabaseInUse when another process holds it."""
        make_private(Path(f"{database}.lock"))
        self._file: IO[str] = open(f"{database}.lock", "a+")  # noqa: SIM115 - held for the life of the server
        pid, self.taken_with = _written(self._file)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.close()
            raise DATABASE_IN_USE(pid=pid, database=database) from error
        self._write()

    def take(self, mark: int) -> None:
        """Write down the mark of the file that is used: by it a later server knows whether the file was replaced
        (F65)."""
        self.taken_with = mark
        self._write()

    def _write(self) -> None:
        self._file.truncate(0)
        self._file.write(str(os.getpid()) if self.taken_with is None else f"{os.getpid()} {self.taken_with}")
        self._file.flush()

    def release(self) -> None:
        self._file.close()


def last_taken_with(database: Path) -> int | None:
    """Return the mark with which the last server took the file; None if none did, or one has it now."""
    try:
        with open(f"{database}.lock") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return _written(file)[1]
    except (FileNotFoundError, BlockingIOError):
        return None


def _written(lock: IO[str]) -> tuple[str, int | None]:
    """Return whose lock it is, or last was, and with which mark the database was taken."""
    lock.seek(0)
    pid, _, mark = lock.read().strip().partition(" ")
    return pid or "unknown", int(mark) if mark.isdigit() else None


def engine_for(path: Path) -> Engine:
    """Return an engine that leaves transactions to whoever uses it, with SQLite told to be durable."""
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        isolation_level="AUTOCOMMIT",
        poolclass=NullPool,
        hide_parameters=True,  # errors reach the log; what shoppers sent must not
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")

    return engine


def driver_of(connection: Connection) -> sqlite3.Connection:
    """Return the sqlite3 connection underneath, for what SQLAlchemy leaves to its user here: transactions."""
    return cast(sqlite3.Connection, connection.connection.driver_connection)


def transact(engine: Engine, clock: Clock, work: Callable[[Transaction], T]) -> T:
    """Run one transaction by itself, for the administration from the shell; waits up to PATIENT_SECONDS for a
    server."""
    with engine.connect() as connection:
        driver = driver_of(connection)
        begin_between_groups(driver)
        try:
            result = work(Transaction(connection, clock.now(), SteadyClock(clock).read(connection)))
            driver.execute("COMMIT")
        except BaseException:
            if driver.in_transaction:
                driver.execute("ROLLBACK")
            raise
        return result


def begin_between_groups(driver: sqlite3.Connection) -> None:
    """Run BEGIN IMMEDIATE beside a server that commits group after group.

    SQLite's own busy handler sleeps up to 100 ms between two looks and never meets the moment between two groups; so
    look every half millisecond. Raises sqlite3.OperationalError when it stays locked.
    """
    driver.execute("PRAGMA busy_timeout = 0")
    until = time.monotonic() + PATIENT_SECONDS
    while True:
        try:
            driver.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.0005)
        else:
            return


class SqliteStore(ThreadedStore):
    """A store with one writer thread that commits in groups."""

    def __init__(self, path: Path, clock: Clock, on_effects: EffectsHandler) -> None:
        super().__init__(engine_for(path), clock, on_effects, writers=1, readers=READERS)
        self._writing = self._engine.connect()  # the writer thread's; opened here, where a failure is heard
        driver_of(self._writing).execute("SELECT count(*) FROM sqlite_schema")
        self._place = Place(path)
        self._looking = self._open_reader()  # the event loop's
        driver_of(self._looking).execute("PRAGMA busy_timeout = 0")
        self._reader_connections.add(self._looking)
        self._start()

    async def look_up(self, look: Callable[[Connection], T]) -> T:
        """Look at once, in the event loop: that takes 10 µs, and to hand it to a thread and back 100.

        Rows that are asked for by key with every call are in memory. Where they may not be, because the database stands
        still, and where it is locked, a thread waits.
        """
        if not self._stands_still:
            with suppress(DBAPIError):  # whatever it was, the thread finds it too, and says it
                return storable(look, self._looking)
        return await self.read(look)

    def _read(self, look: Callable[[Connection], T]) -> T:
        try:
            if not self._place.look():  # the sweeps read every two seconds, so it is noticed when nobody writes
                self.failures += 1
            connection = self._reader_connection()
            driver = driver_of(connection)
            driver.execute("BEGIN")
            try:
                return storable(look, connection)
            finally:
                if driver.in_transaction:
                    driver.execute("ROLLBACK")
        except (DBAPIError, sqlite3.Error) as error:
            raise database_failed(error) from error

    def _open_reader(self) -> Connection:
        self._place.check()  # SQLite would make another
        connection = self._engine.connect()
        driver_of(connection).execute("PRAGMA query_only = ON")
        return connection

    def _work(self) -> None:
        with self._writing as connection:
            while (first := self._writes.next(wait=True)) is not None:
                members = self._write_group(connection, first)
                try:
                    self._hand_back(members)
                except RuntimeError:
                    return

    def _write_group(self, connection: Connection, first: Job) -> list[Job]:
        """Run `first` and what waits behind it, and commit once; every member then has its result or its error."""
        driver = driver_of(connection)
        members: list[Job] = []
        job: Job | None = first
        try:
            self._begin(driver, members, first)
            until = time.monotonic() + GROUP_SECONDS
            while job is not None:
                members.append(job)
                self._run_member(connection, driver, job)
                if not driver.in_transaction:
                    raise getattr(job.error, "orig", None) or sqlite3.OperationalError("the transaction is gone")
                full = len(members) == GROUP or time.monotonic() > until
                job = None if full else self._writes.next(wait=False)
            if not self._writes.begin_commit(members):
                raise Silent("a member was given up before the commit")
            self._place.check()
            driver.execute("COMMIT")
        except Exception as error:
            if driver.in_transaction:
                with suppress(sqlite3.Error):  # one that fails here is tried again by the next group
                    driver.execute("ROLLBACK")
            for member in members:
                member.fail(database_failed(error))
            log.error("group failed", members=len(members), error=type(error).__name__, reason=str(error)[:200])
        return members

    def _begin(self, driver: sqlite3.Connection, members: list[Job], first: Job) -> None:
        """Begin a group. When the database stays locked, all who waited with `first` fail with it: it was their wait
        too, and each waiting in turn would be answered a minute late."""
        try:
            driver.execute("BEGIN IMMEDIATE")
        except sqlite3.Error:
            members += [first, *self._writes.take_all()]
            raise

    def _run_member(self, connection: Connection, driver: sqlite3.Connection, job: Job) -> None:
        """Run one member in its savepoint. Its error is left in the job; the caller looks whether the group
        survived."""
        for last_try in (False, True):
            driver.execute("SAVEPOINT member")
            try:
                job.run(connection, self.clock)
                driver.execute("RELEASE member")
            except BaseException as error:
                if not driver.in_transaction:  # a SAVEPOINT now would begin, and its RELEASE commit, one of its own
                    job.fail(error)
                    return
                driver.execute("ROLLBACK TO member")
                driver.execute("RELEASE member")
                if isinstance(error, IntegrityError):
                    if not last_try:
                        continue  # somebody else was first: run again, the checks now see it
                    job.fail(violated(error))
                elif isinstance(error, DBAPIError | sqlite3.Error):
                    job.fail(database_failed(error))
                else:
                    job.fail(error)
            return
