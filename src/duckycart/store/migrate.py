"""Bring a database to the schema of this version, with Alembic."""

import errno
import sqlite3
from contextlib import closing
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect
from sqlalchemy.exc import DBAPIError

from duckycart.store.sqlite import begin_between_groups, driver_of, engine_for


class NewerSchema(Exception):
    """The database was written by a newer version of this program."""


class ForeignDatabase(Exception):
    """The file holds tables that are none of ours."""


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def migrate_sqlite(path: Path) -> Path | None:
    """Create or migrate the file. An older schema is copied first; returns the copy's path, or None.

    Raises NewerSchema or ForeignDatabase, each a sentence that says what to do, for a file of a newer version or of
    something else; OSError, with the file's name, for one that cannot be used or is no database.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return _migrate(path)
    except (sqlite3.Error, DBAPIError) as error:
        reason = error.orig if isinstance(error, DBAPIError) else error
        raise OSError(errno.EIO, str(reason), str(path)) from error


def _migrate(path: Path) -> Path | None:
    engine = engine_for(path)
    try:
        with engine.connect() as connection:
            config = _config(connection)
            scripts = ScriptDirectory.from_config(config)
            newest = scripts.get_current_head()
            if MigrationContext.configure(connection).get_current_revision() == newest:
                return None
            # Looked at again under the lock: another process may be making or migrating the same file now. And a
            # migration that is killed half way never happened.
            driver = driver_of(connection)
            begin_between_groups(driver)
            present = MigrationContext.configure(connection).get_current_revision()
            if present == newest:
                driver.execute("ROLLBACK")
                return None
            if present is None and inspect(connection).get_table_names():
                raise ForeignDatabase(f"{path} is a database of something else. Name another file with --database.")
            if present is not None and present not in {script.revision for script in scripts.walk_revisions()}:
                raise NewerSchema(
                    f"{path} was written by a newer DuckyCart (schema {present}, this one knows {newest}). "
                    "Install that version, or restore a backup."
                )
            copy = None
            if present is not None:
                copy = Path(f"{path}.before-{newest}")
                backup_sqlite(path, copy)
            command.upgrade(config, "head")
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
