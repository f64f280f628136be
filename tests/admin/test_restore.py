"""`duckycart db restore`: a backup that will do takes the database's place, another changes nothing (F65)."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command

from duckycart.store import migrate
from duckycart.store.damage import mark_of
from duckycart.store.database import open_database
from duckycart.store.restore import restore_sqlite
from duckycart.store.sqlite import engine_for
from duckycart.store.transaction import DatabaseInUse
from tests.admin.conftest import Shell


def test_f65_an_index_that_lost_a_row_is_found_by_the_check(shell: Shell) -> None:
    shell.run("carts", "add", "1-3")
    with closing(sqlite3.connect(shell.database)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("CREATE INDEX later ON carts (created_at) WHERE id < 3")
        connection.execute("UPDATE sqlite_schema SET sql = replace(sql, '< 3', '< 9') WHERE name = 'later'")
        connection.commit()
    assert "missing from index later" in shell.json_error("db", "check")["detail"]


def newer(backup: Path) -> None:
    with closing(sqlite3.connect(backup)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0999'")
        connection.commit()


def foreign(backup: Path) -> None:
    backup.unlink()
    with closing(sqlite3.connect(backup)) as connection:
        connection.execute("CREATE TABLE milk (id)")


def cut_short(backup: Path) -> None:
    backup.write_bytes(backup.read_bytes()[:8192])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (newer, "newer DuckyCart"),
        (foreign, "no database of DuckyCart"),
        (cut_short, "nothing was changed"),
        (lambda backup: backup.write_text("milk, bread, tea\n" * 500), "nothing was changed"),
        (lambda backup: backup.write_bytes(b""), "no database of DuckyCart"),
        (lambda backup: backup.unlink(), "There is no file"),
    ],
)
def test_f65_a_backup_that_will_not_do_changes_nothing(shell: Shell, spoil: Callable[[Path], None], said: str) -> None:
    shell.run("carts", "add", "1")
    backup = shell.folder / "backup.db"
    shell.run("db", "backup", backup)
    spoil(backup)
    before = served_files(shell)
    sentence = shell.fails("db", "restore", backup)
    assert said in sentence
    assert ".shop.db." not in sentence
    assert served_files(shell) == before
    assert "the database itself" in shell.fails("db", "restore", shell.database)


def served_files(shell: Shell) -> dict[str, bytes]:
    ours = (path for path in shell.folder.iterdir() if path.name.startswith((".shop", "shop.db")))
    return {path.name: path.read_bytes() for path in ours if path.suffix != ".lock"}


def test_f65_an_older_backup_is_brought_to_this_version_and_stays_as_it_is(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = shell.folder / "backup.db"
    shell.run("carts", "add", "1")
    shell.run("db", "backup", backup)
    backup.unlink()
    with engine_for(backup).connect() as connection:
        command.upgrade(migrate._config(connection), "0004")
    before = backup.read_bytes()
    restored = shell.json("db", "restore", backup)
    assert restored["schema_before"] == "0004"
    assert backup.read_bytes() == before
    assert shell.json("db", "check")["schema"] == restored["schema"]
    assert [path.name for path in shell.folder.iterdir() if "before" in path.name] == []


def test_f65_a_backup_where_nothing_may_be_written_is_restored(shell: Shell) -> None:
    shell.run("carts", "add", "1-2")
    media = shell.folder / "media"
    media.mkdir()
    shell.run("db", "backup", media / "backup.db")
    media.chmod(0o500)
    for path in shell.folder.glob("shop.db*"):
        path.unlink()
    restored = shell.json("db", "restore", media / "backup.db")
    assert restored["kept"] is None
    assert sorted(os.listdir(media)) == ["backup.db"]
    assert len(shell.json("carts", "list")["carts"]) == 2


def test_f65_of_postgresql_it_says_whose_business_that_is(shell: Shell) -> None:
    sentence = shell.fails("db", "restore", "x", "--database", "postgresql://nobody@127.0.0.1:1/nothing")
    assert "pg_restore" in sentence


def test_f65_two_backups_have_two_marks_and_an_open_server_holds_one_off(shell: Shell, template: Path) -> None:
    shell.run("carts", "add", "1")
    for name in ("one.db", "two.db"):
        shell.run("db", "backup", name)
    marks = {mark_of(shell.folder / name) for name in ("one.db", "two.db")}
    assert len(marks | {mark_of(shell.database)}) == 3
    opened = open_database(f"sqlite:///{shell.database}")
    with pytest.raises(DatabaseInUse):
        restore_sqlite(shell.folder / "one.db", shell.database)
    opened.release()
