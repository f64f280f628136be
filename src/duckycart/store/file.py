"""This module looks after the SQLite file in its folder: who may read it, and whether it is still where it was
opened."""

import os
import sqlite3
import stat
from pathlib import Path
from typing import Final

import structlog

log = structlog.get_logger()

PRIVATE: Final = 0o600  # keys, e-mail addresses and baskets are in it
_BESIDE: Final = ("", "-wal", "-shm")


def make_private(path: Path) -> None:
    """Make the file if it is not there, readable for its owner alone; SQLite makes those beside it likewise."""
    os.close(os.open(path, os.O_RDONLY | os.O_CREAT, PRIVATE))


def tighten(path: Path) -> None:
    """Take from others of this machine the right to read the database, what is beside it, and the copies made before
    migrations.

    The log says which files were open to them, and which are not ours to change. The folder stays as it is.
    """
    copies = [*path.parent.glob(f"{path.name}.before-*"), Path(f"{path}.lock")]
    for file in [*(Path(f"{path}{end}") for end in _BESIDE), *copies]:
        try:
            mode = stat.S_IMODE(file.stat().st_mode)
            if mode & 0o077:
                file.chmod(PRIVATE)
                log.warning("others of this machine could read the database; no more", file=str(file), mode=f"{mode:o}")
        except FileNotFoundError:
            continue
        except OSError as error:
            log.warning("others of this machine may read the database", file=str(file), reason=error.strerror)


class FileGone(sqlite3.OperationalError):
    """The file was deleted, moved or replaced while it was open: what is written now nobody would ever find."""


class Place:
    """The database's file and what SQLite keeps beside it, as they were when they were opened. Any thread may look."""

    def __init__(self, path: Path) -> None:
        """Remember the files of a database that is open, and was read: then all of them are there."""
        self._path = path
        self._were = {end: _identity(f"{path}{end}") for end in _BESIDE}
        self._gone = False  # when somebody looked last

    def look(self) -> bool:
        """Return whether all are still there, and the same. A change is written to the log."""
        gone = [f"{self._path}{end}" for end, was in self._were.items() if _identity(f"{self._path}{end}") != was]
        if bool(gone) != self._gone:
            self._gone = bool(gone)
            if gone:
                log.error(
                    "The database was deleted, moved or replaced under the server; nothing is written any more. Put "
                    "the same file back and it goes on; with another one, stop the server first and start it again.",
                    files=gone,
                )
            else:
                log.warning("the database is back in its place")
        return not gone

    def check(self) -> None:
        """Raise FileGone unless all are there."""
        if not self.look():
            raise FileGone("deleted, moved or replaced")


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
