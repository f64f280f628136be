"""Backups: complete under their name, or not there."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from duckycart.store import migrate
from duckycart.store.damage import damage
from tests.admin.conftest import Shell


def test_a_backup_is_a_complete_database_by_itself(shell: Shell) -> None:
    shell.run("carts", "add", "1-3")
    result = shell.json("db", "backup", "copy.db")
    copy = shell.folder / "copy.db"
    assert result == {"file": "copy.db", "bytes": copy.stat().st_size}
    assert len(shell.json("carts", "list", "--database", f"sqlite:///{copy}")["carts"]) == 3
    assert copy.stat().st_mode & 0o077 == 0  # it holds hashes


def test_what_a_running_server_has_committed_is_in_it(shell: Shell) -> None:
    shell.run("carts", "add", "1-3")
    server = sqlite3.connect(shell.database, isolation_level=None)
    server.execute("DELETE FROM carts WHERE id = 1")  # in the -wal file as yet
    server.execute("BEGIN IMMEDIATE")
    server.execute("DELETE FROM carts WHERE id = 2")
    shell.run("db", "backup", "copy.db")
    server.execute("ROLLBACK")
    server.close()
    listed = shell.json("carts", "list", "--database", "sqlite:///copy.db")["carts"]
    assert [cart["id"] for cart in listed] == [2, 3]


def test_an_existing_file_is_replaced_only_by_force(shell: Shell) -> None:
    shell.run("carts", "add", "1")
    copy = shell.file("copy.db", "precious")
    assert "--force" in shell.fails("db", "backup", copy)
    assert shell.json_error("db", "backup", copy)["error"] == "file_exists"
    assert copy.read_text() == "precious"
    shell.run("db", "backup", copy, "--force")
    assert copy.read_bytes().startswith(b"SQLite format 3")


def test_a_backup_that_fails_leaves_nothing_and_keeps_what_was(shell: Shell) -> None:
    copy = shell.file("copy.db", "precious")
    for content in (b"", b"x" * 5000, b"SQLite format 3\0" + b"\xff" * 5000):
        shell.database.write_bytes(content)
        before = set(os.listdir(shell.folder))
        assert shell.fails("db", "backup", copy, "--force")
        assert copy.read_text() == "precious"
        assert set(os.listdir(shell.folder)) == before


def test_a_file_that_came_while_it_was_copied_is_not_replaced(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.run("carts", "add", "1")
    copying = migrate.backup_sqlite

    def slowly(source: Path, target: Path) -> None:
        copying(source, target)
        shell.file("copy.db", "precious")

    monkeypatch.setattr(migrate, "backup_sqlite", slowly)
    assert shell.json_error("db", "backup", "copy.db")["error"] == "file_exists"
    assert (shell.folder / "copy.db").read_text() == "precious"


def test_a_schema_whose_damage_is_no_text_is_told(shell: Shell) -> None:
    shell.run("carts", "add", "1")
    with closing(sqlite3.connect(shell.database)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        damaged = b"\xae\xac"
        change = "UPDATE sqlite_master SET name = CAST(? AS TEXT), sql = 'no sql' WHERE name = 'alarms'"
        connection.execute(change, (damaged,))
        connection.commit()
    assert damage(shell.database) == r"malformed database schema (\xae\xac)"  # what a start and a restore ask
    assert shell.json_error("db", "backup", "copy.db")["error"] in {"damaged", "database_unavailable"}


def test_a_damaged_database_is_told(shell: Shell) -> None:
    shell.run("carts", "add", "1-500")
    content = bytearray(shell.database.read_bytes())
    page = int.from_bytes(content[16:18], "big")
    for start in range(page * 8, len(content), page):
        content[start + 8 : start + page] = os.urandom(page - 8)
    shell.database.write_bytes(content)
    assert shell.json_error("db", "backup", "copy.db")["error"] in {"damaged", "database_unavailable"}
    assert not (shell.folder / "copy.db").exists()


def test_targets_that_will_not_do(shell: Shell) -> None:
    shell.run("carts", "add", "1")
    assert "is a directory" in shell.fails("db", "backup", shell.folder)
    assert "no directory" in shell.fails("db", "backup", shell.folder / "nowhere" / "copy.db")
    (shell.folder / "link.db").symlink_to(shell.database)
    for itself in (shell.database, shell.folder / "link.db"):
        assert "the database itself" in shell.fails("db", "backup", itself, "--force")
    assert len(shell.json("carts", "list")["carts"]) == 1


@pytest.mark.parametrize("suffix", ["-wal", "-journal"])
def test_a_journal_beside_the_target_would_be_played_into_it(shell: Shell, suffix: str) -> None:
    shell.run("carts", "add", "1")
    shell.file(f"copy.db{suffix}", "of another database")
    assert shell.json_error("db", "backup", "copy.db")["error"] == "file_in_use"
    assert not Path("copy.db").exists()


def test_without_a_database_there_is_no_backup(shell: Shell) -> None:
    assert shell.json_error("db", "backup", "copy.db")["error"] == "no_database"
    assert os.listdir(shell.folder) == []
