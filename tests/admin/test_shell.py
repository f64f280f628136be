"""What all commands share: the database, the answers, the failures."""

import json
import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from typing import Any

import pytest

import duckycart.store.sqlite
from duckycart.admin.shell import table
from tests.admin.conftest import Csv, Shell

MOUNT = "import tests.admin.conftest as c; c.app()"


@pytest.mark.parametrize("command", [("carts", "list"), ("carts", "disable", "1"), ("carts", "rotate-key", "1")])
def test_only_what_adds_makes_a_database(shell: Shell, command: tuple[str, ...]) -> None:
    assert "There is no database" in shell.fails(*command)
    assert os.listdir(shell.folder) == []


def test_a_new_database_is_said_aloud(shell: Shell) -> None:
    assert f"{shell.folder}/deep/er.db" in shell.invoke(
        "carts", "add", "1", "--database", "sqlite:///deep/er.db"
    ).stderr  # fmt: skip
    assert "Making" not in shell.invoke("carts", "add", "2", "--database", "sqlite:///deep/er.db").stderr


@pytest.mark.parametrize(
    "url",
    ["", "shop.db", "sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///a.db?mode=ro", "sqlite:///a\x00b",
     "mysql://h/d", "sqlite://host:x/y", "\x1b[31m://"],
)  # fmt: skip
def test_a_url_that_names_no_file(shell: Shell, url: str) -> None:
    error = shell.json_error("carts", "add", "1", "--database", url)
    assert error["error"] == "unsupported_database"
    assert "\x1b" not in error["detail"]
    assert os.listdir(shell.folder) == []


def test_files_that_are_no_database(shell: Shell) -> None:
    shell.file("notes.db", "not a database " * 100)
    shell.file("plain", "")
    for where in ("notes.db", ".", "plain/shop.db"):
        said = shell.fails("carts", "add", "1", "--database", f"sqlite:///{where}")
        assert "Traceback" not in said
        assert len(said.splitlines()) <= 2
        assert "error" in shell.json_error("carts", "add", "1", "--database", f"sqlite:///{where}")


def test_a_database_of_a_newer_version(shell: Shell) -> None:
    shell.run("carts", "add", "1")
    with closing(sqlite3.connect(shell.database)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    assert shell.json_error("carts", "list")["error"] == "wrong_schema"
    assert "newer DuckyCart" in shell.fails("carts", "add", "2")


def test_the_database_option_wins_over_the_environment(shell: Shell) -> None:
    shell.run("carts", "add", "1", "--database", "sqlite:///other.db")
    assert not shell.database.exists()
    assert (shell.folder / "other.db").exists()


def test_a_database_locked_for_too_long_is_told_and_unchanged(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.run("carts", "add", "1")
    monkeypatch.setattr(duckycart.store.sqlite, "PATIENT_SECONDS", 0.0)
    with closing(sqlite3.connect(shell.database, isolation_level=None)) as server:
        server.execute("BEGIN IMMEDIATE")
        assert shell.json_error("carts", "add", "2")["error"] == "database_busy"
        assert "Try again" in shell.fails("carts", "disable", "1")
        server.execute("ROLLBACK")
    assert [cart["id"] for cart in shell.json("carts", "list")["carts"]] == [1]


def test_it_works_while_a_server_writes(shell: Shell, csv_file: Csv, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server's writer holds the lock when the administration asks for it, and again and again after that."""
    shell.run("carts", "add", "1")
    asked, transact = threading.Event(), duckycart.store.sqlite.transact

    def ask(*arguments: Any) -> Any:
        asked.set()
        return transact(*arguments)

    monkeypatch.setattr(duckycart.store.sqlite, "transact", ask)
    monkeypatch.setattr("duckycart.admin.catalogue.transact", ask)
    commands = [
        ("carts", "add", "2-9"),
        ("carts", "rotate-key", "2"),
        ("carts", "disable", "3"),
        ("products", "import", str(csv_file("622,Bread,,,3,,"))),
        ("users", "add", "ann@example.com"),
        ("db", "backup", "copy.db"),
    ]
    groups = 20
    for command in commands:
        asked.clear()
        if command[0] == "db":
            asked.set()  # a backup only reads
        held = threading.Event()

        def serve(held: threading.Event = held) -> None:
            with closing(sqlite3.connect(shell.database, isolation_level=None, timeout=60)) as server:
                for _ in range(groups):
                    server.execute("BEGIN IMMEDIATE")
                    server.execute("UPDATE carts SET last_seq = last_seq + 1 WHERE id = 1")
                    held.set()
                    asked.wait(60)
                    server.execute("COMMIT")

        server = threading.Thread(target=serve)
        server.start()
        assert held.wait(60)
        shell.run(*command, typed="correct horse")
        server.join()
    assert shell.rows("SELECT last_seq FROM carts WHERE id = 1")[0]["last_seq"] == groups * len(commands)
    assert len(shell.json("carts", "list")["carts"]) == 9
    assert len(shell.rows("SELECT * FROM products")) == 1
    assert len(shell.rows("SELECT * FROM users")) == 1


def test_two_processes_make_one_database(shell: Shell) -> None:
    """The first start of a shop: everything at once, each in a process of its own."""
    environment = {
        **os.environ,
        "DUCKYCART_DATABASE": f"sqlite:///{shell.database}",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    started = [
        subprocess.Popen(
            [sys.executable, "-c", MOUNT, "carts", "add", str(number), "--json"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for number in (1, 2)
    ]
    for number, process in enumerate(started, 1):
        out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, b""), out
        assert json.loads(out)["carts"][0]["id"] == number
    assert len(shell.json("carts", "list")["carts"]) == 2


def test_a_fault_of_the_program_is_not_dressed_up(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("duckycart.admin.fleet.add_carts", broken)
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        shell.invoke("carts", "add", "1")


def test_columns_are_aligned() -> None:
    assert table(("A", "LONGER"), (100, "x"), (2, "yy")) == "A    LONGER\n100  x\n2    yy"
