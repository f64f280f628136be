"""This module tells whether the database takes what is written, not only whether it can be read."""

import asyncio
import sqlite3
from secrets import token_hex
from typing import Final

from sqlalchemy import delete, insert, text

from duckycart.errors import Unavailable
from duckycart.refusals import DATABASE_FILE_GONE, DATABASE_FULL, DATABASE_LOCKED, DATABASE_READ_ONLY, DATABASE_SILENT
from duckycart.store.file import FileGone
from duckycart.store.tables import idempotency_keys
from duckycart.store.threads import Silent
from duckycart.store.transaction import Store, Transaction

PROVEN_SECONDS: Final = 1.0  # how long a write that succeeded is proof enough, unless one fails
THOROUGH: Final = 65_536  # bytes that must find room after a failure: on a full disk a few still may


class Readiness:
    """Tries the store, at most once at a time however many want to know, and remembers a success for PROVEN_SECONDS."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._proven = float("-inf")  # until when (monotonic)
        self._failures = 0  # of the store, when the last proof began
        self._trying: asyncio.Task[None] | None = None

    async def __call__(self) -> None:
        """Raise Unavailable, with a sentence for whoever runs the server, unless the database can be read and
        written."""
        try:
            if self._doubtful():
                await asyncio.gather(self._look(), self._prove())
            else:
                await self._look()
                if self._doubtful():
                    await self._prove()
        except Unavailable as error:
            raise _reason(error) from error

    def _doubtful(self) -> bool:
        return self._store.failures != self._failures or self._store.clock.monotonic() >= self._proven

    async def _look(self) -> None:
        await self._store.read(lambda connection: connection.execute(text("SELECT 1")).one())

    async def _prove(self) -> None:
        if self._trying is None or self._trying.done():
            self._trying = asyncio.get_running_loop().create_task(self._try())
        await asyncio.wait([self._trying])
        self._trying.result()

    async def _try(self) -> None:
        failures = self._store.failures
        size = 1 if failures == self._failures else THOROUGH
        await self._store.write(lambda tx: _write_and_forget(tx, size))
        self._failures = failures
        self._proven = self._store.clock.monotonic() + PROVEN_SECONDS


def _write_and_forget(tx: Transaction, size: int) -> None:
    """Write a row that is gone again when it is committed; the commit itself goes to the disk as every other."""
    row = {"scope": "readiness", "key": token_hex(16)}
    filling = token_hex(size // 2 + 1)  # which no database can make smaller
    tx.connection.execute(
        insert(idempotency_keys).values({**row, "fingerprint": b"", "result": filling, "created_at": tx.now})
    )
    tx.connection.execute(delete(idempotency_keys).filter_by(**row))


def _reason(error: Unavailable) -> Unavailable:
    """Return the error that tells why, as far as it is known; else the same error."""
    cause = getattr(error.__cause__, "orig", error.__cause__)
    match cause:
        case FileGone():
            reason = DATABASE_FILE_GONE
        case Silent():
            reason = DATABASE_SILENT
        case sqlite3.Error() if reason_or_none := _OF_SQLITE.get(getattr(cause, "sqlite_errorcode", 0) & 0xFF):
            reason = reason_or_none
        case object(sqlstate="53100"):  # of PostgreSQL: disk_full
            reason = DATABASE_FULL
        case object(sqlstate="25006"):  # read_only_sql_transaction
            reason = DATABASE_READ_ONLY
        case _:
            return error
    return reason()


_OF_SQLITE: Final = {
    sqlite3.SQLITE_FULL: DATABASE_FULL,
    sqlite3.SQLITE_BUSY: DATABASE_LOCKED,
    sqlite3.SQLITE_LOCKED: DATABASE_LOCKED,
    sqlite3.SQLITE_READONLY: DATABASE_READ_ONLY,
}
