"""The scaled store: PostgreSQL, any number of server processes.

Every job is a transaction of its own in one of `WRITERS` threads, each with a connection of its own; PostgreSQL itself
lets concurrent commits share a flush. The UPDATE of a cart's row is the lock (READ COMMITTED), and what it protects is
read in later statements. A transaction that meets a deadlock, or a connection that died while it was idle, is run
again.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

import psycopg
import structlog
from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from duckycart.clock import MachineClock
from duckycart.errors import DuckyCartError, Unavailable
from duckycart.store.engine import DatabaseInUse, EffectsHandler, Job, Transaction, database_failed, violated
from duckycart.store.steady import SteadyClock
from duckycart.store.threads import ThreadedStore

T = TypeVar("T")
log = structlog.get_logger()

_LOCK: Final = text("SELECT pg_try_advisory_lock(7236835, 1)")  # two numbers, so never the lock of migrations
_SHARED_LOCK: Final = text("SELECT pg_try_advisory_lock_shared(7236835, 1)")
_ALONE: Final = (
    "Another DuckyCart server uses this database. Stop it, give this one another --database, or let them work "
    "together: start each with the same --bus nats://HOST:4222."
)
_OTHERS_ALONE: Final = (
    "A DuckyCart server without a bus uses this database. Stop it, and start it with the same --bus as this one."
)
WRITERS: Final = 8  # one process saturates a CPU before these wait for the disk
READERS: Final = 4
TRIES: Final = 4  # of a transaction that others got in the way of

# What is worth another try: both ways in which others were quicker, and a deadlock.
_OTHERS_FIRST: Final = (
    psycopg.IntegrityError,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
)

# So that a database that is gone is noticed in seconds, whether it says so or not. Milliseconds but for the first.
_CONNECT: Final[dict[str, Any]] = {
    "connect_timeout": 3,
    "application_name": "duckycart",
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 6000,
    "options": "-c lock_timeout=5000 -c statement_timeout=10000 -c idle_in_transaction_session_timeout=15000",
}


def engine_for(url: URL) -> Engine:
    """An engine whose connections are made anew each time: who uses one keeps it."""
    return create_engine(
        url,
        poolclass=NullPool,
        hide_parameters=True,  # errors reach the log; what shoppers sent must not
        connect_args={**_CONNECT, **url.query},
    )


def transact(engine: Engine, clock: MachineClock, work: Callable[[Transaction], T]) -> T:
    """One transaction by itself, for the administration from the shell."""
    with engine.begin() as connection:
        return work(Transaction(connection, clock.now(), SteadyClock(clock).read(connection)))


class Tenancy:
    """This server uses the database, alone or with others that have a bus: an advisory lock, gone with the process.

    Without a bus between them two servers would mark each other's carts offline, and screens would hear late.
    """

    def __init__(self, url: URL, *, alone: bool) -> None:
        """Raises DatabaseInUse when others are not as this one, DBAPIError when the database cannot be reached."""
        self._engine = engine_for(url)
        self._alone = alone
        self._connection: Connection | None = None
        try:
            self.hold()
        except BaseException:
            self.release()
            raise

    def hold(self) -> None:
        """Take the lock, if it is not held any more: the database may have been restarted. Raises as the beginning."""
        try:
            if self._connection is None:
                self._connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
                if not self._connection.execute(_LOCK if self._alone else _SHARED_LOCK).scalar_one():
                    raise DatabaseInUse(_ALONE if self._alone else _OTHERS_ALONE)
            else:
                self._connection.execute(text("SELECT 1"))
        except BaseException:
            _close(self._connection)
            self._connection = None
            raise

    def release(self) -> None:
        _close(self._connection)
        self._connection = None
        self._engine.dispose()


class PostgresStore(ThreadedStore):
    """Concurrent writer threads; two transitions of one cart wait for each other at its row."""

    def __init__(self, url: URL, clock: MachineClock, on_effects: EffectsHandler) -> None:
        super().__init__(engine_for(url), clock, on_effects, writers=WRITERS, readers=READERS)
        self._start()

    def _open_reader(self) -> Connection:
        # One snapshot for all that a `look` asks.
        return self._engine.connect().execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    def _read(self, look: Callable[[Connection], T]) -> T:
        while True:
            kept = getattr(self._local, "connection", None) is not None
            try:
                connection = self._reader_connection()
                with connection.begin():
                    return look(connection)
            except DBAPIError as error:
                if error.connection_invalidated:
                    self._forget_reader()
                if getattr(self._local, "connection", None) is not None:
                    raise database_failed(error) from error
                if not kept:
                    log.error("database unavailable", reads=self._reading, reason=type(error.orig).__name__)
                    self._fail_reads()
                    raise database_failed(error) from error
                # It may have died while it was idle: once more, with a new one.

    def _forget_reader(self) -> None:
        connection, self._local.connection = self._local.connection, None
        self._reader_connections.discard(connection)
        _close(connection)

    # The writer threads

    def _work(self) -> None:
        connection: Connection | None = None
        while (job := self._next(wait=True)) is not None:
            connection, failed = self._do(job, connection)
            try:
                self._hand_back([job, *failed])
            except RuntimeError:
                break
            del job, failed  # not to be held while this thread waits for the next
        _close(connection)

    def _do(self, job: Job, connection: Connection | None) -> tuple[Connection | None, list[Job]]:
        """Run the job; it then knows its result or its error. Returns the connection to go on with, and which jobs
        failed together with this one."""
        for tries in range(1, TRIES + 1):
            fresh = connection is None
            committing = False
            try:
                connection = connection or self._engine.connect()
                with connection.begin():
                    job.run(connection, self.clock)
                    committing = True
            except DBAPIError as error:
                lost = connection is None or _lost(error)
                if lost:
                    _close(connection)
                    connection = None
                if lost and committing:
                    job.fail(_outcome_unknown(error))
                elif lost and fresh:
                    return None, self._fail_all(job, error)
                elif tries < TRIES and (lost or isinstance(error.orig, _OTHERS_FIRST)):
                    continue  # a connection that died while it was idle, or others who were quicker
                else:
                    job.fail(violated(error) if isinstance(error, IntegrityError) else database_failed(error))
            except BaseException as error:
                job.fail(error)
            return connection, []
        raise AssertionError("the last try returns")

    def _fail_all(self, job: Job, error: DBAPIError) -> list[Job]:
        """The database is not there. All who waited fail now: each waiting in turn would be answered a minute late."""
        waiting = self._all_waiting()
        log.error("database unavailable", waiting=len(waiting), reason=type(error.orig).__name__)
        for one in (job, *waiting):
            one.fail(database_failed(error))
        return waiting


def _lost(error: DBAPIError) -> bool:
    """Whether the connection is of no use any more; of an uncommitted transaction nothing is left then."""
    return error.connection_invalidated or isinstance(error.orig, psycopg.errors.ReadOnlySqlTransaction)


def _close(connection: Connection | None) -> None:
    if connection is not None:
        with suppress(DBAPIError):
            connection.close()


def _outcome_unknown(error: DBAPIError) -> DuckyCartError:
    """The connection was lost during COMMIT. What was committed is delivered by the sweeps; a caller may repeat."""
    failure = Unavailable(
        "outcome_unknown",
        "The database went away while it committed; look at the present state, or repeat.",
        retry_after=1,
    )
    failure.__cause__ = error
    return failure
