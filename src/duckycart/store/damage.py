"""This module tells whether an SQLite file may be used as it is: neither damaged, nor with another file's journal
beside it.

A server that was killed leaves its last transactions in the file's `-wal`, and SQLite plays them into whatever file has
that name now. Over a backup that was copied there this makes a mixture of two databases (F65). The two files say
nothing of each other, so each backup has a mark of its own in its header (`PRAGMA user_version`, which nothing else
here uses), and a server writes down, beside the file, with which mark it took it.
"""

import os
import secrets
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Final

from duckycart.store.refusals import DAMAGED, STALE_JOURNAL

START_BYTES: Final = 32 * 2**20  # of a file that was closed tidily: a larger one, half a second and more, is not read
DEATH_SECONDS: Final = 3.0  # of looking at the indexes of one whose server was killed; its pages are looked at first

_MARK_AT: Final = 60  # bytes from the file's beginning, four of them (SQLite, "Database File Format", 1.3)
_WAL_HEADER: Final = 32  # bytes; a journal that is no longer holds nothing
_STEPS: Final = 10_000  # of SQLite's machine between two looks at the clock


def new_mark() -> bytes:
    return (secrets.randbits(31) | 1).to_bytes(4)


def mark_of(path: Path) -> int:
    """Return the mark in the file itself, whatever its journal says; 0 for a file that is not there, or too short."""
    try:
        with path.open("rb") as file:
            file.seek(_MARK_AT)
            return int.from_bytes(file.read(4))
    except FileNotFoundError:
        return 0


def set_mark(path: Path) -> None:
    """Give a file that nobody has open, and that has no journal, a mark of its own."""
    handle = os.open(path, os.O_WRONLY)
    try:
        os.pwrite(handle, new_mark(), _MARK_AT)
        os.fsync(handle)
    finally:
        os.close(handle)


def has_journal(path: Path) -> bool:
    """Return whether there are transactions that are not in the file itself yet."""
    try:
        return Path(f"{path}-wal").stat().st_size > _WAL_HEADER
    except FileNotFoundError:
        return False


def refuse_stale_journal(path: Path, taken_with: int | None) -> None:
    """Raise Unavailable when the file was replaced since the last server took it, and its journal was not.

    `taken_with` is the mark with which the last server took the file, None where that is not known.
    """
    if taken_with is not None and has_journal(path) and mark_of(path) != taken_with:
        raise STALE_JOURNAL(path=path)


def refuse_at_start(path: Path) -> None:
    """Raise as `refuse_damaged` for what can be seen in a moment."""
    if has_journal(path):
        _refuse(path, damage(path, seconds=DEATH_SECONDS))
    elif path.exists() and path.stat().st_size <= START_BYTES:
        _refuse(path, damage(path, "quick_check"))


def refuse_damaged(path: Path) -> None:
    """Look at every page and index. Changes nothing. Raises Unavailable; sqlite3.Error for what cannot be opened."""
    _refuse(path, damage(path))


def _refuse(path: Path, verdict: str | None) -> None:
    if verdict is not None:
        raise DAMAGED(path=path, verdict=verdict)


def damage(path: Path, check: str = "integrity_check", *, seconds: float | None = None) -> str | None:
    """Return what SQLite finds wrong with the file; None for nothing, or for nothing so far when the time is up.

    Raises sqlite3.Error for what cannot be opened.
    """
    if not path.exists() or path.stat().st_size == 0:
        return None
    until = None if seconds is None else time.monotonic() + seconds
    # Read-only, so that closing it plays no journal into the file.
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        if until is not None:
            connection.set_progress_handler(lambda: time.monotonic() > until, _STEPS)
        try:
            verdict = str(connection.execute(f"PRAGMA {check}(1)").fetchone()[0])
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                return None
            if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_IOERR):
                raise  # busy, no database at all, not readable
            verdict = str(error)
        except UnicodeDecodeError as error:  # SQLite's own words hold the damaged bytes of a schema
            verdict = error.object.decode(errors="backslashreplace")
    return None if verdict == "ok" else " ".join(verdict.split())[:200]
