"""A shop that grows copies everything of its SQLite file into an empty PostgreSQL database, verified before it
counts."""

import json
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Row, Table, func, insert, select, text

from duckycart.store import postgres, sqlite
from duckycart.store.database import alone_with
from duckycart.store.migrate import check_postgres, check_sqlite, name_of
from duckycart.store.refusals import COPY_DIFFERS, NOT_EMPTY
from duckycart.store.tables import metadata

BATCH: Final = 1000  # rows

Progress = Callable[[str, int, int], None]  # table, rows done, rows in all


def copy_database(source: Path, target: URL, progress: Progress) -> dict[str, int]:
    """Copy all tables in one transaction; returns the number of rows of each. The source stays as it is.

    Raises WrongSchema where one of the two has another schema, DatabaseInUse while a server has one of them, Conflict
    when there is already something in the target, Unavailable when what arrived is not what was sent; DBAPIError when a
    database fails. Then the target is as empty as before.
    """
    check_sqlite(source)
    check_postgres(target)
    with alone_with(source), alone_with(target):
        return _copy(source, target, progress)


def _copy(source: Path, target: URL, progress: Progress) -> dict[str, int]:
    file, postgresql = sqlite.engine_for(source), postgres.engine_for(target)
    try:
        with file.connect() as reading, postgresql.begin() as writing:
            postgres.take_time(writing)
            reading.connection.cursor().execute("BEGIN")  # one state, whatever the administration does meanwhile
            for table in metadata.sorted_tables:
                if _count(writing, table):
                    raise NOT_EMPTY(database=name_of(target))
            copied = {table.name: _copy_table(reading, writing, table, progress) for table in metadata.sorted_tables}
            for table in metadata.sorted_tables:
                if _checksum(reading, table) != _checksum(writing, table):
                    raise COPY_DIFFERS(table=table.name)
            _go_on_counting(reading, writing)
            return copied
    finally:
        file.dispose()
        postgresql.dispose()


def _copy_table(reading: Connection, writing: Connection, table: Table, progress: Progress) -> int:
    total, done = _count(reading, table), 0
    for batch in _batches(reading, table):
        writing.execute(insert(table), [dict(row._mapping) for row in batch])
        done += len(batch)
        progress(table.name, done, total)
    return done


def _go_on_counting(reading: Connection, writing: Connection) -> None:
    """Let the target's ids count on from the highest that the source ever gave: an id is never given twice."""
    for name, highest in reading.execute(text("SELECT name, seq FROM sqlite_sequence")).all():
        if name in metadata.tables and highest:
            writing.execute(
                text("SELECT setval(pg_get_serial_sequence(:name, 'id'), :highest)"), {"name": name, "highest": highest}
            )


def _count(connection: Connection, table: Table) -> int:
    return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def _batches(connection: Connection, table: Table) -> Iterator[Sequence[Row[*tuple[Any, ...]]]]:
    with connection.execute(select(table).execution_options(yield_per=BATCH)) as rows:
        yield from rows.partitions(BATCH)


def _checksum(connection: Connection, table: Table) -> tuple[int, int]:
    """Return the number of rows and the sum of each row's SHA-256, whatever their order: the two databases sort
    differently."""
    count, total = 0, 0
    for batch in _batches(connection, table):
        for row in batch:
            plain = [value.hex() if isinstance(value, bytes) else value for value in row]
            total += int.from_bytes(sha256(json.dumps(plain).encode()).digest())
            count += 1
    return count, total
