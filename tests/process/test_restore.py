"""A backup that is brought back, and one that was only copied over its database (F65)."""

import os
import shutil
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from duckycart.errors import Unavailable
from duckycart.store import damage
from duckycart.store.damage import has_journal, mark_of
from duckycart.store.database import open_database
from duckycart.store.restore import BESIDE, restore_sqlite
from tests.admin.conftest import Shell
from tests.process.world import KEY, Served


@pytest.fixture
def shell(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Beside the server, on its database."""
    monkeypatch.chdir(tmp_path)
    return Shell(tmp_path, served.database)


@pytest.fixture
async def killed(served: Served, shell: Shell) -> Path:
    """A server that was killed in its second session; the backup that is returned was made in its first."""
    shopper = served.furnish()
    await served.start()
    session = await start_session(served, shopper)
    shell.run("db", "backup", "backup.db")
    await served.http.post(f"/customer-session/{session}/end", headers=shopper)
    assert await start_session(served, shopper) == 2
    await served.die()
    assert has_journal(served.database)
    return shell.folder / "backup.db"


def half_of(backup: Path, database: Path) -> None:
    """In the database's place, without a mark that tells the two apart."""
    copy = bytearray(backup.read_bytes())
    copy[damage._MARK_AT : damage._MARK_AT + 4] = mark_of(database).to_bytes(4)
    page = int.from_bytes(copy[16:18])
    database.write_bytes(copy[: len(copy) // page // 2 * page])


async def start_session(served: Served, shopper: dict[str, str]) -> int:
    environment = {"X-API-Key": KEY}
    cart = await served.cart()
    qr = (await served.http.get("/customer-session/qr/1", headers=environment)).json()
    scan = await served.http.post("/customer-session/scan-qr", json={"token": qr}, headers=shopper)
    assert scan.status_code == 200, scan.text
    cart.cut()
    return int(scan.json()["session_id"])


async def refuses_to_start(served: Served) -> str:
    served.run("serve", "--port", str(served.port), "--database", f"sqlite:///{served.database}")
    assert await served.ended() == 1
    return served.log.read_text()


async def test_f65_a_backup_copied_over_a_killed_server_s_file_is_refused_with_a_sentence_and_restored(
    served: Served, shell: Shell, killed: Path
) -> None:
    shutil.copy(killed, served.database)
    said = await refuses_to_start(served)
    assert "Run `duckycart db restore FILE` with the backup" in said
    assert "Traceback" not in said
    said = await refuses_to_start(served)  # again: nothing has forgotten it
    assert "shop.db-wal" in said
    for command in (("db", "check"), ("carts", "list"), ("db", "upgrade"), ("sessions", "list")):
        assert "duckycart db restore" in shell.fails(*command), command
    restored = shell.json("db", "restore", killed)
    kept = Path(restored["kept"])
    assert kept.name.startswith("shop.db.replaced-")
    assert f"{kept.name}-wal" in os.listdir(kept.parent)
    assert shell.json("db", "check")["schema"] == restored["schema"]
    assert served.database.stat().st_mode & 0o077 == 0
    await served.start()
    assert served.rows("SELECT id, is_active FROM sessions") == [(1, 1)]
    assert [cart["session_id"] for cart in shell.json("carts", "list")["carts"]] == [1]
    assert await served.stop() == 0


async def test_f65_what_was_there_is_kept_whole(served: Served, shell: Shell, killed: Path) -> None:
    """Somebody restored the wrong backup."""
    kept = Path(shell.json("db", "restore", killed)["kept"])
    with closing(sqlite3.connect(kept)) as connection:
        assert connection.execute("SELECT count(*) FROM sessions").fetchone() == (2,)
    shell.run("db", "restore", kept)
    assert served.rows("SELECT count(*) FROM sessions") == [(2,)]


async def test_f65_a_killed_server_s_own_journal_is_its_own(served: Served, killed: Path) -> None:
    await served.start()
    assert served.rows("SELECT count(*) FROM sessions") == [(2,)]
    assert await served.stop() == 0


async def test_f65_a_copy_that_has_no_mark_is_found_out_by_what_does_not_fit(
    served: Served, shell: Shell, killed: Path
) -> None:
    """Not made with `duckycart db backup`: the same database, older, with another's last pages played into it."""
    half_of(killed, served.database)
    assert "is damaged" in await refuses_to_start(served)
    assert "is damaged" in shell.fails("db", "check")
    shell.run("db", "restore", killed)
    await served.start()
    assert served.rows("SELECT count(*) FROM sessions") == [(1,)]


async def test_f65_a_damaged_file_is_refused(served: Served, shell: Shell) -> None:
    shell.run("carts", "add", "1-500")
    content = bytearray(served.database.read_bytes())
    page = int.from_bytes(content[16:18])
    content[page * 8 :] = b"\xff" * (len(content) - page * 8)
    served.database.write_bytes(content)
    assert "is damaged; SQLite says" in await refuses_to_start(served)
    assert shell.json_error("db", "check")["error"] == "damaged"


async def test_f65_nothing_is_restored_under_a_server(served: Served, shell: Shell) -> None:
    served.furnish()
    shell.run("db", "backup", "backup.db")
    await served.start()
    error = shell.json_error("db", "restore", "backup.db")
    assert error["error"] == "database_in_use"
    assert await served.stop() == 0
    shell.run("db", "restore", "backup.db")


async def test_f65_a_restore_that_is_killed_anywhere_loses_nothing(served: Served, shell: Shell, killed: Path) -> None:
    """Either database is there, whole; or what is there is recognised, and the same command repairs it."""
    for steps in range(1, 40):
        target = copy_of(served.database, shell.folder / f"again-{steps}")
        came_to_its_end = restores_until(steps, killed, target)
        try:
            open_database(f"sqlite:///{target}").release()
        except Unavailable as refused:
            assert refused.code == "stale_journal"  # noqa: PT017 - it need not come
            restore_sqlite(killed, target)
        with closing(sqlite3.connect(target)) as connection:
            assert connection.execute("SELECT count(*) FROM sessions").fetchone()[0] in (1, 2)
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        if came_to_its_end:
            break
    else:
        raise AssertionError("it never came to its end")
    assert steps > 5


def copy_of(database: Path, folder: Path) -> Path:
    folder.mkdir()
    for end in (*BESIDE, ".lock"):
        if Path(f"{database}{end}").exists():
            shutil.copy(f"{database}{end}", folder / f"shop.db{end}")
    return folder / "shop.db"


def restores_until(steps: int, backup: Path, target: Path) -> bool:
    """In a process that is killed before its so many-th change of a name. Returns whether it had come to its end."""
    child = os.fork()
    if child == 0:
        done = 0

        def dying(really: Callable[..., object]) -> Callable[..., object]:
            def step(*args: object, **kwargs: object) -> object:
                nonlocal done
                done += 1
                if done == steps:
                    os.kill(os.getpid(), signal.SIGKILL)
                return really(*args, **kwargs)

            return step

        for name in ("link", "replace", "rename", "unlink", "fsync"):
            setattr(os, name, dying(getattr(os, name)))
        try:
            restore_sqlite(backup, target)
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1] == 0
