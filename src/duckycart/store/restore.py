"""A backup takes the place of an SQLite file; what was there is kept beside it."""

import os
import shutil
import sqlite3
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from duckycart.store.damage import damage, has_journal, set_mark
from duckycart.store.migrate import (
    FOREIGN_BACKUP,
    NEWER_SCHEMA,
    NewerSchema,
    backup_sqlite,
    migrate_sqlite,
    revision_of,
)
from duckycart.store.refusals import BACKUP_IS_THE_DATABASE, BAD_BACKUP, DAMAGED_BACKUP, NO_BACKUP
from duckycart.store.sqlite import FileLock

BESIDE: Final = ("", "-wal", "-shm", "-journal")  # what belongs to a database, by what is behind its name


@dataclass(frozen=True, slots=True)
class Restored:
    kept: Path | None  # what was there before, None when nothing was
    schema_before: str  # of the backup
    schema: str


def restore_sqlite(backup: Path, target: Path, now: datetime | None = None) -> Restored:
    """Put a copy of the backup, checked and of the present schema, into the target's place. The backup stays as it is.

    Whenever this is killed, either the old database is in its place, whole, or the new one; a journal of the old one
    that is still beside the new one is recognised by whoever opens it, and the same command repairs that.

    Raises DatabaseInUse while a server has the target; NotFound, BadRequest, WrongSchema, Unavailable for a backup that
    will not do: then nothing is changed. OSError when the disk is full or forbids it.
    """
    if not backup.is_file():
        raise NO_BACKUP(backup=backup)
    if target.exists() and target.samefile(backup):
        raise BACKUP_IS_THE_DATABASE(backup=backup)
    target.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(target)
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:100]}.")  # for its owner only: 0600
        os.close(handle)
        half = Path(name)
        try:
            before, schema = _prepare(backup, half)
            kept = _put_aside(target, now or datetime.now(UTC))
            half.replace(target)
        finally:
            for end in BESIDE:
                Path(f"{half}{end}").unlink(missing_ok=True)
        # Last, and not before the new file is there: without its journal the old one would lack its last changes.
        for end in BESIDE[1:]:
            Path(f"{target}{end}").unlink(missing_ok=True)
        _sync(target.parent)
        return Restored(kept, before, schema)
    finally:
        lock.release()


def _prepare(backup: Path, half: Path) -> tuple[str, str]:
    """Make a copy of the backup that is complete, checked, migrated and has a mark. Returns the schema of the backup
    and the copy's."""
    try:
        if has_journal(backup):
            backup_sqlite(backup, half)
        else:
            shutil.copyfile(backup, half)  # also from where nothing may be written
        verdict = damage(half)
    except sqlite3.DatabaseError as error:
        raise BAD_BACKUP(backup=backup, error=error) from error
    if verdict is not None:
        raise DAMAGED_BACKUP(backup=backup, verdict=verdict)
    before = revision_of(half)
    if before is None:
        raise FOREIGN_BACKUP(backup=backup)
    try:
        copy = migrate_sqlite(half)
    except NewerSchema as error:
        raise NEWER_SCHEMA.saying(str(error).replace(str(half), str(backup)))() from error
    if copy is not None:
        copy.unlink()  # the backup itself is the copy as it was
    schema = revision_of(half)
    assert schema is not None
    set_mark(half)
    return before, schema


def _put_aside(target: Path, now: datetime) -> Path | None:
    """Give the old database and what belongs to it a second name each: both names stay until the new one is there."""
    if not any(Path(f"{target}{end}").exists() for end in BESIDE):
        return None
    kept = Path(f"{target}.replaced-{now:%Y%m%dT%H%M%S}")
    number = 1
    while kept.exists():
        number += 1
        kept = Path(f"{target}.replaced-{now:%Y%m%dT%H%M%S}-{number}")
    for end in BESIDE:
        old, new = Path(f"{target}{end}"), Path(f"{kept}{end}")
        if not old.exists():
            continue
        try:
            os.link(old, new)
        except OSError:  # a file system without second names
            shutil.copy2(old, new)
    _sync(target.parent)
    return kept


def _sync(directory: Path) -> None:
    """Make the folder's names durable, so that they survive a power cut too."""
    with suppress(OSError):
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
