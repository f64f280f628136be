"""A database is brought to the schema of this version, or left as it was."""

import os
import shutil
import sqlite3
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, event
from sqlalchemy.schema import CreateTable

from duckycart.store import migrate
from duckycart.store.migrate import NewerSchema, backup_sqlite, migrate_sqlite, revision_of
from duckycart.store.sqlite import begin_between_groups, engine_for, transact
from duckycart.store.tables import metadata
from duckycart.testing.clock import ManualClock
from tests.store.world import note, notes

NEXT = """
import os
from alembic import op
from sqlalchemy import Column, Integer

revision, down_revision, branch_labels, depends_on = "9999", "{present}", None, None

def upgrade():
    op.add_column("alarms", Column("weight", Integer))
    op.execute("UPDATE alarms SET detail = 'migrated'")
    {more}
"""


PRESENT = max(path.name for path in (Path(migrate.__file__).parent / "migrations" / "versions").glob("*.py"))[:4]


def query(path: Path, sql: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def columns(path: Path, table: str) -> list[object]:
    return [row[1] for row in query(path, f"PRAGMA table_info({table})")]


@pytest.fixture
def older(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database of the present schema, with one row, for a version that has a next one (`write_next`)."""
    package = tmp_path / "package"
    shutil.copytree(Path(migrate.__file__).parent / "migrations", package / "migrations")
    monkeypatch.setattr(migrate, "__file__", str(package / "migrate.py"))
    path = tmp_path / "older.db"
    shutil.copy(template, path)
    transact(engine_for(path), ManualClock(), note("as it was"))
    return path


def write_next(more: str = "pass") -> None:
    versions = Path(migrate.__file__).parent / "migrations" / "versions"
    (versions / "9999_weights.py").write_text(NEXT.format(present=PRESENT, more=more))


def test_a_new_file_has_the_schema_of_the_tables(tmp_path: Path) -> None:
    path = tmp_path / "in" / "a" / "new" / "folder" / "new.db"
    assert migrate_sqlite(path) is None
    engine = engine_for(path)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_the_migrations_say_word_for_word_what_the_tables_say(template: Path) -> None:
    """What `compare_metadata` does not look at: CHECKs, the conditions of partial indexes, autoincrement."""

    def normal(sql: str) -> list[str]:
        # Columns that were added later stand behind the last one, in its line.
        parts = sql.strip().removesuffix(")").replace('"', "").replace(", ", "\n").splitlines()
        return sorted(part for part in (part.strip(" \t,") for part in parts) if part)

    engine = engine_for(template)
    for table in metadata.sorted_tables:
        ((made,),) = query(template, f"SELECT sql FROM sqlite_master WHERE type = 'table' AND name = '{table.name}'")
        assert normal(str(made)) == normal(str(CreateTable(table).compile(engine)))
        for index in table.indexes:
            ((sql,),) = query(template, f"SELECT sql FROM sqlite_master WHERE type = 'index' AND name = '{index.name}'")
            where = index.dialect_options["sqlite"]["where"]
            assert str(sql).partition(" WHERE ")[2] == ("" if where is None else str(where))
            assert ("UNIQUE" in str(sql)) == index.unique


def test_a_database_of_this_version_is_left_alone(template: Path, tmp_path: Path) -> None:
    path = tmp_path / "present.db"
    shutil.copy(template, path)
    before = path.read_bytes()
    assert migrate_sqlite(path) is None
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir() if "before" in found.name] == []


def test_an_older_database_is_copied_then_migrated(older: Path) -> None:
    write_next()
    copy = migrate_sqlite(older)
    assert copy == Path(f"{older}.before-9999")
    assert query(older, "SELECT version_num FROM alembic_version") == [("9999",)]
    assert query(older, "SELECT detail FROM alarms") == [("migrated",)]
    assert "weight" in columns(older, "alarms")
    assert query(copy, "SELECT version_num FROM alembic_version") == [(PRESENT,)]
    assert query(copy, "SELECT detail FROM alarms") == [("as it was",)]


@pytest.mark.parametrize("more", ["raise RuntimeError('half way')", "op.execute('SELECT * FROM nowhere')"])
def test_a_migration_that_fails_half_way_never_happened(older: Path, more: str) -> None:
    write_next(more)
    with pytest.raises((RuntimeError, OSError)):
        migrate_sqlite(older)
    assert query(older, "SELECT version_num FROM alembic_version") == [(PRESENT,)]
    assert query(older, "SELECT detail FROM alarms") == [("as it was",)]
    assert "weight" not in columns(older, "alarms")
    write_next()
    migrate_sqlite(older)
    assert query(older, "SELECT detail FROM alarms") == [("migrated",)]


def test_a_migration_that_is_killed_half_way_never_happened(older: Path) -> None:
    write_next("os.kill(os.getpid(), 9)")
    child = os.fork()
    if child == 0:
        try:
            migrate_sqlite(older)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0) == (child, 9)
    assert query(older, "SELECT version_num FROM alembic_version") == [(PRESENT,)]
    assert query(older, "SELECT detail FROM alarms") == [("as it was",)]
    write_next()
    assert migrate_sqlite(older) is not None
    assert query(older, "SELECT detail FROM alarms") == [("migrated",)]


def test_who_waited_for_another_s_migration_looks_again_and_leaves_it_alone(
    older: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_next("op.execute(\"INSERT INTO alarms (at, kind, detail) VALUES (0, 'note', 'once')\")")
    begin = begin_between_groups
    waited: list[Path | None] = []

    def somebody_was_quicker(driver: sqlite3.Connection) -> None:
        monkeypatch.setattr(migrate, "begin_between_groups", begin)
        waited.append(migrate_sqlite(older))
        waited[0].rename(older.parent / "the other's copy") if waited[0] else None
        begin(driver)

    monkeypatch.setattr(migrate, "begin_between_groups", somebody_was_quicker)
    assert migrate_sqlite(older) is None
    assert len(waited) == 1
    assert query(older, "SELECT count(*) FROM alarms") == [(2,)]
    assert [found for found in older.parent.iterdir() if "before" in found.name] == []


def test_a_database_that_another_makes_between_two_looks_is_no_foreign_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "shop.db"
    seen: list[Path] = []

    def watched(where: Path) -> Engine:
        engine = engine_for(where)

        def statement_over(*_: object) -> None:
            if not seen:
                seen.append(where)
                migrate_sqlite(where)  # as another process

        event.listen(engine, "after_cursor_execute", statement_over)
        return engine

    monkeypatch.setattr(migrate, "engine_for", watched)
    assert migrate_sqlite(path) is None
    assert seen == [path]
    assert revision_of(path) == migrate.known_revisions()[-1]


def test_a_newer_database_is_refused_with_a_sentence_and_left_alone(older: Path) -> None:
    connection = sqlite3.connect(older)
    connection.execute("UPDATE alembic_version SET version_num = '0099'")
    connection.commit()
    connection.close()
    with pytest.raises(NewerSchema, match=rf"newer DuckyCart \(schema 0099, this one knows {PRESENT}\)\. Install that"):
        migrate_sqlite(older)
    assert query(older, "SELECT version_num FROM alembic_version") == [("0099",)]
    assert [found for found in older.parent.iterdir() if "before" in found.name] == []


def test_what_is_no_database_is_refused_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    path.write_text("milk, bread, tea\n" * 500)
    with pytest.raises(OSError, match="not a database") as refusal:
        migrate_sqlite(path)
    assert refusal.value.filename == str(path)


def test_a_backup_of_a_database_in_use_is_complete_and_stands_alone(template: Path, tmp_path: Path) -> None:
    path, copy = tmp_path / "live.db", tmp_path / "copy.db"
    shutil.copy(template, path)
    engine = engine_for(path)
    stop = threading.Event()

    def keep_writing() -> None:
        while not stop.is_set():
            transact(engine, ManualClock(), note("while it is copied"))

    with engine.connect():  # so that what was committed stays in the journal beside the file
        for number in range(50):
            transact(engine, ManualClock(), note(str(number)))
        writer = threading.Thread(target=keep_writing)
        writer.start()
        try:
            backup_sqlite(path, copy)
        finally:
            stop.set()
            writer.join()
    assert query(copy, "PRAGMA integrity_check") == [("ok",)]
    with engine_for(copy).connect() as connection:
        assert notes(connection)[:50] == [str(number) for number in range(50)]
