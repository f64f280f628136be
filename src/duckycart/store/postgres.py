"""PostgreSQL is the scaled store, for any number of server processes.

Every job is a transaction of its own in one of `WRITERS` threads, each with a connection of its own; PostgreSQL itself
lets concurrent commits share a flush. A cart's row is locked by SELECT … FOR NO KEY UPDATE (READ COMMITTED), and what
the lock protects is read in later statements. A transaction that meets a deadlock, or a connection that died while it
was idle, is run again. Whatever the database does, no thread waits longer than SILENT_SECONDS for one answer of it.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeVar

import psycopg
import structlog
from psycopg.abc import RV, PQGen
from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from duckycart.clock import Clock
from duckycart.store.pooler import SHARED_SESSIONS, backend, refuse_shared_sessions
from duckycart.store.steady import SteadyClock
from duckycart.store.threads import Silent, ThreadedStore
from duckycart.store.transaction import (
    DATABASE_IN_USE,
    EffectsHandler,
    Job,
    Transaction,
    database_failed,
    outcome_unknown,
    storable,
    violated,
)

T = TypeVar("T")
log = structlog.get_logger()

_LOCK: Final = text("SELECT pg_try_advisory_lock(7236835, 1)")  # two numbers, so never the lock of migrations
_SHARED_LOCK: Final = text("SELECT pg_try_advisory_lock_shared(7236835, 1)")
_USED_BY_OTHERS: Final = DATABASE_IN_USE.saying(
    "Another DuckyCart server uses this database. Stop it, give this one another --database, or let them work "
    "together: start each with the same --bus nats://HOST:4222."
)
_USED_ALONE: Final = DATABASE_IN_USE.saying(
    "A DuckyCart server without a bus uses this database. Stop it, and start it with the same --bus as this one."
)
WRITERS: Final = 8  # one process saturates a CPU before these wait for the disk
READERS: Final = 4
TRIES: Final = 4  # of a transaction that others got in the way of
SILENT_SECONDS: Final = 4.0  # without an answer to one statement: then the connection is given up
PATIENT_SECONDS: Final = 3600.0  # the same for what may take long, a migration or the copy of a whole shop
PREPARED: Final = 500  # statements that a connection keeps; one counts anew for each width of its numbers

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
}
# One that lives gives up a statement before we give up the connection. Set afterwards, because poolers refuse `options`
# in the start of a connection (F64).
_LIMITS: Final = (
    "SELECT set_config('lock_timeout', '3000', false), set_config('statement_timeout', '3500', false), "
    "set_config('idle_in_transaction_session_timeout', '15000', false)"
)


class Bounded(psycopg.Connection[Any]):
    """A connection that is given up when one answer takes longer than `patience`.

    What the server, or the kernel, promises to end does not end when the server itself is stopped: its machine goes on
    acknowledging what is sent to it.
    """

    patience = SILENT_SECONDS

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.prepared_max = PREPARED
        # One for all prepared statements, since to make a cursor takes longer than to use it.
        self._cursor = psycopg.RawCursor[Any](self)

    def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        """Run a statement whose parameters are `$1`, `$2`, as sqlite3 has it. The cursor that is returned is good until
        the next one is run."""
        return self._cursor.execute(query, params, **options)

    def executemany(self, query: Any, rows: Any) -> None:
        """Run it for each of these rows, which takes one journey to the database."""
        self._cursor.executemany(query, rows)

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        patience = self.patience if timeout is None else timeout
        until = time.monotonic() + patience
        try:
            return super().wait(gen, interval, patience)
        except psycopg.OperationalError as error:
            if time.monotonic() < until:
                raise
            self.pgconn.finish()  # its answer may still come, and must not be taken for that of the next statement
            raise psycopg.OperationalError(f"no answer for {patience:g} s") from error


def engine_for(url: URL) -> Engine:
    """Return an engine whose connections are made anew each time: who uses one keeps it."""
    engine = create_engine(
        url,
        poolclass=NullPool,
        hide_parameters=True,  # errors reach the log; what shoppers sent must not
        connect_args={**_CONNECT, **url.query},
    )

    @event.listens_for(engine, "do_connect")
    def _connect(_dialect: object, _record: object, arguments: Any, options: Any) -> Any:
        connection = Bounded.connect(*arguments, **options)
        if "options" not in url.query:  # who gives some knows which limits it wants
            connection.autocommit = True
            connection.execute(_LIMITS)
            connection.autocommit = False
        return connection

    return engine


def take_time(connection: Connection) -> None:
    """Give this transaction's statements PATIENT_SECONDS each; no request may wait for them."""
    connection.execute(text("SET LOCAL statement_timeout = 0"))
    driver = connection.connection.driver_connection
    assert isinstance(driver, Bounded)
    driver.patience = PATIENT_SECONDS


def transact(engine: Engine, clock: Clock, work: Callable[[Transaction], T]) -> T:
    """Run one transaction by itself, for the administration from the shell. Raises Unavailable, `outcome_unknown`, when
    the connection was lost while it committed."""
    with engine.connect() as connection, connection.begin() as transaction:
        result = work(Transaction(connection, clock.now(), SteadyClock(clock).read(connection)))
        try:
            transaction.commit()
        except DBAPIError as error:
            if _lost(error):
                raise outcome_unknown(error) from error
            raise
        return result


class Tenancy:
    """A server's right to use the database, alone or with others that have a bus: an advisory lock, gone with the
    process.

    Without a bus between them two servers would mark each other's carts offline, and screens would hear late.
    """

    def __init__(self, url: URL, *, alone: bool) -> None:
        """Take the lock. Raises DatabaseInUse when another server has it that may not share, or this one may not;
        DBAPIError when the database cannot be reached."""
        self._engine = engine_for(url)
        self._alone = alone
        self._name = url.render_as_string(hide_password=True)
        self._connection: Connection | None = None
        self._backend = 0  # which session has the lock
        try:
            self.hold()
        except BaseException:
            self.release()
            raise

    def hold(self) -> None:
        """Take the lock, if it is not held any more: the database may have been restarted. Raises as `__init__`
        does."""
        try:
            if self._connection is None:
                refuse_shared_sessions(self._engine, self._name)
                self._connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
                if not self._connection.execute(_LOCK if self._alone else _SHARED_LOCK).scalar_one():
                    raise (_USED_BY_OTHERS if self._alone else _USED_ALONE)()
                self._backend = backend(self._connection)
            elif backend(self._connection) != self._backend:
                raise SHARED_SESSIONS(name=self._name)  # so it has become since the start
        except BaseException:
            _close(self._connection)
            self._connection = None
            raise

    def release(self) -> None:
        _close(self._connection)
        self._connection = None
        self._engine.dispose()


class PostgresStore(ThreadedStore):
    """A store with concurrent writer threads; two transitions of one cart wait for each other at its row."""

    def __init__(self, url: URL, clock: Clock, on_effects: EffectsHandler) -> None:
        super().__init__(engine_for(url), clock, on_effects, writers=WRITERS, readers=READERS)
        self._start()

    async def read(self, look: Callable[[Connection], T]) -> T:
        return await self._ask(self._reads, partial(_in_one_snapshot, look))

    async def look_up(self, look: Callable[[Connection], T]) -> T:
        """Look without a transaction: to begin and end one takes as long as what is looked up."""
        return await self._ask(self._reads, look)

    def _open_reader(self) -> Connection:
        connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        connection.exec_driver_sql("SET default_transaction_read_only = on")
        return connection

    def _read(self, look: Callable[[Connection], T]) -> T:
        while True:
            kept = getattr(self._local, "connection", None) is not None
            try:
                connection = self._reader_connection()
                return storable(look, connection)
            except DBAPIError as error:
                if error.connection_invalidated:
                    self._forget_reader()
                if getattr(self._local, "connection", None) is not None:
                    raise database_failed(error) from error
                if not kept:
                    log.error("database unavailable", reads=len(self._reads), reason=type(error.orig).__name__)
                    self._fail_reads(error)
                    raise database_failed(error) from error
                # It may have died while it was idle: once more, with a new one.

    def _forget_reader(self) -> None:
        connection, self._local.connection = self._local.connection, None
        self._reader_connections.discard(connection)
        _close(connection)

    # The writer threads

    def _work(self) -> None:
        connection: Connection | None = None
        while (job := self._writes.next(wait=True)) is not None:
            connection, failed = self._do(job, connection)
            try:
                self._hand_back([job, *failed])
            except RuntimeError:
                break
            del job, failed  # not to be held while this thread waits for the next
        _close(connection)

    def _do(self, job: Job, connection: Connection | None) -> tuple[Connection | None, list[Job]]:
        """Run the job, which then has its result or its error. Returns the connection to go on with, and which jobs
        failed together with this one."""
        for tries in range(1, TRIES + 1):
            fresh = connection is None
            try:
                if not self._writes.begin(job):
                    raise Silent("given up between two tries")
                connection = connection or self._engine.connect()
                with connection.begin():
                    job.run(connection, self.clock)
                    if not self._writes.begin_commit([job]):
                        raise Silent("given up before its commit")
            except DBAPIError as error:
                lost = connection is None or _lost(error)
                if lost:
                    _close(connection)
                    connection = None
                if lost and job.committing:
                    job.fail(outcome_unknown(error))
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
        """Fail this job and all that wait, since the database is not there: each waiting in turn would be answered a
        minute late."""
        waiting = self._writes.take_all()
        log.error("database unavailable", waiting=len(waiting), reason=type(error.orig).__name__)
        for one in (job, *waiting):
            one.fail(database_failed(error))
        return waiting


def _in_one_snapshot(look: Callable[[Connection], T], connection: Connection) -> T:
    """Let all that `look` asks see one state."""
    connection.exec_driver_sql("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    try:
        return look(connection)
    finally:
        if not connection.invalidated:
            connection.exec_driver_sql("ROLLBACK")


def _lost(error: DBAPIError) -> bool:
    """Return whether the connection is of no use any more; of an uncommitted transaction nothing is left then."""
    return error.connection_invalidated or isinstance(error.orig, psycopg.errors.ReadOnlySqlTransaction)


def _close(connection: Connection | None) -> None:
    if connection is not None:
        with suppress(DBAPIError):
            connection.close()
