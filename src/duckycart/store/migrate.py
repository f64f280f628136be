"""This module brings a database to the schema of this version, with Alembic.

A file migrates itself when it is opened, after a copy. PostgreSQL is migrated by `duckycart db upgrade` alone, while
servers of the version before go on: so a migration first only adds (expand), and what it makes superfluous is removed
by a later version (contract).
"""

import errno
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import URL, Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError

from duckycart.errors import Conflict, Refusal
from duckycart.store.file import make_private
from duckycart.store.pooler import refuse_shared_sessions
from duckycart.store.sqlite import begin_between_groups, driver_of, engine_for

if TYPE_CHECKING:
    from alembic.config import Config

_REVISION: Final = re.compile(r"(\d{4})_\w+\.py")
_MIGRATING: Final = 0x6475636B79  # the advisory lock of those who migrate one database; "ducky"


class WrongSchema(Conflict):
    """The database has not the schema of this version."""


class NewerSchema(WrongSchema):
    """The database was written by a newer version of this program."""


class OlderSchema(WrongSchema):
    """The database has to be upgraded first."""


class ForeignDatabase(WrongSchema):
    """The database holds tables that are none of ours."""


NEWER_SCHEMA: Final = Refusal(
    NewerSchema,
    "wrong_schema",
    "{name} was written by a newer DuckyCart (schema {present}, this one knows {newest}). Install that version, or "
    "restore a backup.",
)
OLDER_SCHEMA: Final = Refusal(
    OlderSchema,
    NEWER_SCHEMA.code,
    "{name} has {has}, this version needs schema {newest}. Run `duckycart db upgrade` with the same --database; "
    "servers that run may go on meanwhile.",
)
FOREIGN_DATABASE: Final = Refusal(
    ForeignDatabase,
    "foreign_database",
    "{name} is a database of something else. Name another one with --database.",
)
FOREIGN_BACKUP: Final = FOREIGN_DATABASE.saying(
    "{backup} is no database of DuckyCart; name a backup that `duckycart db backup` made."
)


# Alembic is loaded where something is migrated: it is a tenth of a start, and mostly all is as it should be.


def _config(connection: Connection) -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_migrations()))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _upgrade(connection: Connection) -> None:
    """Run the migrations that the database does not have."""
    from alembic import command

    command.upgrade(_config(connection), "head")


def _migrations() -> Path:
    return Path(__file__).parent / "migrations"


def known_revisions() -> list[str]:
    """Return the revisions of this version, in order: each migration's file name begins with its own."""
    names = (_REVISION.fullmatch(path.name) for path in (_migrations() / "versions").iterdir())
    return sorted(name[1] for name in names if name is not None)


def _present(connection: Connection) -> str | None:
    """Return the database's revision, where Alembic keeps it; None for one without."""
    return _version(connection) if inspect(connection).has_table("alembic_version") else None


def _version(connection: Connection) -> str | None:
    revision: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    return revision


def _revisions(connection: Connection, name: object) -> tuple[str | None, str]:
    """Return the database's revision (None for one without tables) and the newest.

    Raises NewerSchema, or ForeignDatabase for a database that this version cannot migrate; `name` is what people call
    the database.
    """
    known = known_revisions()
    newest = known[-1]
    # One look for both: between two of them another process may make the database.
    tables = inspect(connection).get_table_names()
    present = _version(connection) if "alembic_version" in tables else None
    if present is None and tables:
        raise FOREIGN_DATABASE(name=name)
    if present is not None and present not in known:
        raise NEWER_SCHEMA(name=name, present=present, newest=newest)
    return present, newest


def migrate_sqlite(path: Path) -> Path | None:
    """Create or migrate the file. An older schema is copied first; returns the copy's path, or None.

    Raises NewerSchema or ForeignDatabase, each a sentence that says what to do, for a file of a newer version or of
    something else; OSError, with the file's name, for one that cannot be used or is no database.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    make_private(path)
    try:
        return _migrate(path)
    except (sqlite3.Error, DBAPIError) as error:
        reason = error.orig if isinstance(error, DBAPIError) else error
        raise OSError(errno.EIO, str(reason), str(path)) from error


def _migrate(path: Path) -> Path | None:
    engine = engine_for(path)
    try:
        with engine.connect() as connection:
            present, newest = _revisions(connection, path)
            if present == newest:
                return None
            # Looked at again under the lock: another process may be making or migrating the same file now. And a
            # migration that is killed half way never happened.
            driver = driver_of(connection)
            begin_between_groups(driver)
            present, newest = _revisions(connection, path)
            if present == newest:
                driver.execute("ROLLBACK")
                return None
            copy = None
            if present is not None:
                copy = Path(f"{path}.before-{newest}")
                make_private(copy)
                backup_sqlite(path, copy)
            _upgrade(connection)
            driver.execute("COMMIT")
            return copy
    finally:
        engine.dispose()


def backup_sqlite(source: Path, target: Path) -> None:
    """Copy a database that may be in use; the copy is one consistent state and a complete database by itself."""
    with (
        closing(sqlite3.connect(source.absolute().as_uri() + "?mode=ro", uri=True)) as reading,
        closing(sqlite3.connect(target)) as writing,
    ):
        reading.backup(writing)


def revision_of(path: Path) -> str | None:
    """Return the file's revision, None for one without; not necessarily one that this version knows."""
    engine = engine_for(path)
    try:
        with engine.connect() as connection:
            return _present(connection)
    finally:
        engine.dispose()


def upgrade_postgres(url: URL) -> tuple[str | None, str]:
    """Create or migrate the database, all in one transaction. Returns (revision it had, revision it has).

    Several at once wait for each other. Raises NewerSchema, ForeignDatabase; SharedSessions where a pooler lends them;
    DBAPIError when it cannot be reached.
    """
    from duckycart.store import postgres  # its driver is for those who have one

    engine = postgres.engine_for(url)
    try:
        refuse_shared_sessions(engine, name_of(url))
        with engine.begin() as connection:
            # A migration may wait for a server's transactions, and they for it, longer than a request may.
            postgres.take_time(connection)
            connection.execute(text("SET LOCAL lock_timeout = '60s'"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATING})
            present, newest = _revisions(connection, name_of(url))
            if present != newest:
                _upgrade(connection)
            return present, newest
    finally:
        engine.dispose()


def check_postgres(url: URL) -> str:
    """Return the database's revision, which is this version's. Changes nothing.

    Raises OlderSchema, NewerSchema, ForeignDatabase; SharedSessions where a pooler lends connections; DBAPIError when
    it cannot be reached.
    """
    from duckycart.store import postgres  # its driver is for those who have one

    engine = postgres.engine_for(url)
    refuse_shared_sessions(engine, name_of(url))
    return _check(engine, name_of(url))


def check_sqlite(path: Path) -> str:
    """Return the file's revision, which is this version's. Changes nothing. Raises OlderSchema, NewerSchema,
    ForeignDatabase; OSError, with the file's name, for one that is no database."""
    try:
        return _check(engine_for(path), str(path))
    except DBAPIError as error:
        raise OSError(errno.EIO, str(error.orig), str(path)) from error


def _check(engine: Engine, name: str) -> str:
    try:
        with engine.connect() as connection:
            present, newest = _revisions(connection, name)
    finally:
        engine.dispose()
    if present != newest:
        has = "no tables yet" if present is None else f"schema {present}"
        raise OLDER_SCHEMA(name=name, has=has, newest=newest)
    return newest


def name_of(url: URL) -> str:
    """Return how people are told of a database: never with its password."""
    return url.render_as_string(hide_password=True)
