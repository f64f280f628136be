"""This module opens the database that `--database` names, whichever of the two kinds it is."""

import errno
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import structlog
from sqlalchemy import URL, Engine
from sqlalchemy.exc import DBAPIError

from duckycart.clock import Clock
from duckycart.currency import Currency
from duckycart.errors import Unavailable
from duckycart.store import sqlite
from duckycart.store.address import locate
from duckycart.store.currency import agreed, read_currency
from duckycart.store.damage import mark_of, refuse_at_start, refuse_stale_journal
from duckycart.store.file import tighten
from duckycart.store.migrate import check_postgres, migrate_sqlite, name_of
from duckycart.store.refusals import ONE_SERVER_PER_FILE, UNREACHABLE
from duckycart.store.sqlite import FileLock, SqliteStore
from duckycart.store.transaction import EffectsHandler, Store, Transaction, database_failed

if TYPE_CHECKING:
    from duckycart.store.postgres import Tenancy

T = TypeVar("T")
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Database:
    """A database that is there and has the schema of this version, held for this server."""

    name: str  # for people: without a password
    open: Callable[[Clock, EffectsHandler], Store]
    # Now and then, in a thread: keep the lock on it. Raises DatabaseInUse, Unavailable; None where nothing is needed.
    hold: Callable[[], None] | None
    release: Callable[[], None]  # when this server is done with it


def open_database(database: str, *, alone: bool = True, currency: Currency | None = None) -> Database:
    """Open the database for a server: a file is locked for this process, made and migrated; PostgreSQL is only checked.

    A database that is not `alone` is shared with other servers, which only PostgreSQL can be. `currency` is the one
    that the server's settings name. Raises BadRequest, DatabaseInUse, WrongSchema, WrongCurrency, Unavailable, each a
    plain sentence; OSError for a file that cannot be used.
    """
    place = locate(database)
    if isinstance(place, URL):
        from duckycart.store.postgres import PostgresStore, Tenancy  # its driver is for those who have one

        try:
            check_postgres(place)
            _agree_on(place, currency)
            tenancy = Tenancy(place, alone=alone)
        except DBAPIError as error:
            raise _unreachable(place, error) from error
        return Database(
            name_of(place),
            lambda clock, committed: PostgresStore(place, clock, committed),
            partial(_hold, tenancy),
            tenancy.release,
        )
    if not alone:
        raise ONE_SERVER_PER_FILE(place=place)
    place.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(place)
    try:
        tighten(place)
        refuse_stale_journal(place, lock.taken_with)
        _refuse_at_start(place)
        copy = migrate_sqlite(place)
        _agree_on(place, currency)
        lock.take(mark_of(place))
    except BaseException:
        lock.release()
        raise
    if copy is not None:
        log.info("database migrated", copy=str(copy))
    return Database(str(place), lambda clock, committed: SqliteStore(place, clock, committed), None, lock.release)


def _refuse_at_start(place: Path) -> None:
    try:
        refuse_at_start(place)
    except sqlite3.Error as error:
        raise OSError(errno.EIO, str(error), str(place)) from error


def _agree_on(place: Path | URL, currency: Currency | None) -> None:
    if currency is not None:
        with engine_for(place).connect() as connection:
            present = read_currency(connection)
        if present is not None:
            agreed(present, currency)


@contextmanager
def alone_with(place: Path | URL) -> Iterator[None]:
    """Keep servers away from the database for the block. Raises DatabaseInUse while one has it."""
    if isinstance(place, Path):
        release = FileLock(place).release
    else:
        from duckycart.store.postgres import Tenancy  # as above

        release = Tenancy(place, alone=True).release
    try:
        yield
    finally:
        release()


def _hold(tenancy: "Tenancy") -> None:
    try:
        tenancy.hold()
    except DBAPIError as error:
        raise database_failed(error) from error


def engine_for(place: Path | URL) -> Engine:
    """Return an engine for the administration, which needs no threads."""
    if isinstance(place, URL):
        from duckycart.store import postgres  # as above

        return postgres.engine_for(place)
    return sqlite.engine_for(place)


def transact(engine: Engine, clock: Clock, work: Callable[[Transaction], T]) -> T:
    """Run one transaction by itself, beside servers that run."""
    if engine.dialect.name == "postgresql":
        from duckycart.store import postgres  # as above

        return postgres.transact(engine, clock, work)
    return sqlite.transact(engine, clock, work)


def _unreachable(url: URL, error: DBAPIError) -> Unavailable:
    """Return the error for a PostgreSQL that does not let us in: its own words, never the password."""
    reason = " ".join(str(error.orig).split())[:300]
    return UNREACHABLE(database=name_of(url), reason=reason)
