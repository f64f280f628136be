"""`/readyz` says whether requests would succeed: the database is there, the one it was, and takes what is written."""

import os
import shutil
import sqlite3
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import structlog
from sqlalchemy import create_engine, make_url, text

from duckycart.errors import Unavailable
from duckycart.store import sqlite
from duckycart.store.database import open_database
from duckycart.store.readiness import PROVEN_SECONDS
from duckycart.store.sqlite import SqliteStore, driver_of
from duckycart.testing.waiting import until
from tests.conftest import OpenShop
from tests.hardware.helpers import GENERATE_QR, raw
from tests.store.world import note, notes, pragma
from tests.world import Shop

READY = (200, "")


async def readiness(shop: Shop) -> tuple[int, str]:
    answer = await shop.http.get("/readyz")
    if answer.status_code == 200:
        return READY
    assert answer.json()["detail"].endswith((".", "itself."))
    return answer.status_code, answer.json()["code"]


async def stale(shop: Shop) -> tuple[int, str]:
    """The same, after what was proven before is old."""
    shop.clock.move(PROVEN_SECONDS)
    return await readiness(shop)


async def refused(shop: Shop) -> str:
    answer = await shop.http.get("/customer-session/qr/1", headers=shop.cart_headers())
    assert answer.status_code == 503
    return str(answer.json()["code"])


@pytest.fixture
def path(sqlite_database: str) -> Path:
    return Path(str(make_url(sqlite_database).database))


@pytest.fixture
def database(request: pytest.FixtureRequest) -> str:
    """A file, where a test does not name the other."""
    kind = getattr(request, "param", "sqlite")
    return str(request.getfixturevalue(f"{kind}_database"))


both = pytest.mark.parametrize("database", ["sqlite", "postgres"], indirect=True)


@both
async def test_it_is_asked_often_and_written_seldom(shop: Shop) -> None:
    assert await readiness(shop) == READY
    write = shop.inside.store.write
    shop.inside.store.write = None  # type: ignore[method-assign,assignment]
    for _ in range(10):
        assert await readiness(shop) == READY
    shop.inside.store.write = write  # type: ignore[method-assign]
    assert await stale(shop) == READY
    assert await shop.rows(text("SELECT * FROM idempotency_keys WHERE scope = 'readiness'")) == []


@pytest.mark.parametrize("which", ["", "-wal", "-shm"])
async def test_f66_a_file_that_is_moved_away_takes_nothing_until_it_is_back(
    opening: OpenShop, path: Path, tmp_path: Path, which: str
) -> None:
    file, aside = Path(f"{path}{which}"), tmp_path / "aside"
    with structlog.testing.capture_logs() as said:
        async with opening() as shop:
            await shop.furnish()
            cart = await raw(shop)
            assert await readiness(shop) == READY
            file.rename(aside)  # noqa: ASYNC240
            assert await readiness(shop) == (503, "database_file_gone")
            assert await refused(shop) == "database_unavailable"
            assert not file.exists(), "no other one is made in its place"  # noqa: ASYNC240
            aside.rename(file)
            assert await readiness(shop) == READY
            await shop.qr()
            await until(lambda: cart.texts == [GENERATE_QR])  # of the one that was refused, nothing was kept
    events = [line["event"] for line in said]
    assert [event.startswith("The database was deleted, moved or replaced") for event in events].count(True) == 1
    assert events.count("the database is back in its place") == 1


async def test_f66_another_file_in_its_place_is_not_written(opening: OpenShop, path: Path, tmp_path: Path) -> None:
    async with opening() as shop:
        await shop.furnish()
        other = Path(shutil.copy(path, tmp_path / "backup.db"))
        before = other.read_bytes()  # noqa: ASYNC240
        other.replace(path)  # noqa: ASYNC240
        assert await refused(shop) == "database_unavailable"
        assert await readiness(shop) == (503, "database_file_gone")
        assert path.read_bytes() == before  # noqa: ASYNC240


async def test_f66_that_the_file_is_gone_is_said_though_nobody_writes(opening: OpenShop, path: Path) -> None:
    with structlog.testing.capture_logs() as said:
        async with opening() as shop:
            path.unlink()  # noqa: ASYNC240
            await shop.sweep()
            assert any("deleted, moved or replaced" in line["event"] for line in said)


async def test_f66_a_full_disk_is_not_ready_until_there_is_room(shop: Shop) -> None:
    store = shop.inside.store
    assert await readiness(shop) == READY
    await store.write(pragma("max_page_count = 1"))  # no page more than there are
    with pytest.raises(Unavailable):
        await store.write(note("x" * 100_000))
    assert await readiness(shop) == (503, "database_full")
    assert await readiness(shop) == (503, "database_full")
    await store.write(pragma("max_page_count = 1000000"))
    assert await readiness(shop) == READY
    assert await store.read(notes) == []


async def test_f66_a_database_that_others_keep_locked_is_not_ready(
    opening: OpenShop, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.05)
    async with opening() as shop:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        assert await stale(shop) == (503, "database_locked")
        other.execute("COMMIT")
        other.close()
        assert await readiness(shop) == READY


async def test_f66_a_file_that_can_only_be_read_is_not_ready(shop: Shop) -> None:
    assert await readiness(shop) == READY
    store = shop.inside.store
    assert isinstance(store, SqliteStore)
    driver_of(store._writing).execute("PRAGMA query_only = ON")
    assert await stale(shop) == (503, "database_read_only")
    driver_of(store._writing).execute("PRAGMA query_only = OFF")
    assert await readiness(shop) == READY


@pytest.fixture
async def switch(database: str) -> AsyncIterator[Callable[[str], None]]:
    """Makes the PostgreSQL database read-only, `on`, or `off` again, as a standby or a full disk does."""
    engine = create_engine(make_url(database), isolation_level="AUTOCOMMIT")

    def switch(how: str) -> None:
        with engine.connect() as connection:
            connection.execute(text("SET default_transaction_read_only = off"))
            name = make_url(database).database
            connection.execute(text(f"ALTER DATABASE {name} SET default_transaction_read_only = {how}"))
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid, 20000) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )

    yield switch
    engine.dispose()


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
async def test_f66_a_postgres_that_can_only_be_read_is_not_ready(shop: Shop, switch: Callable[[str], None]) -> None:
    assert await readiness(shop) == READY
    switch("on")
    assert await stale(shop) == (503, "database_read_only")
    switch("off")
    assert await readiness(shop) == READY


# Whose the file is


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


async def test_f66_what_the_server_makes_is_readable_for_its_owner_alone(opening: OpenShop, path: Path) -> None:
    path.unlink()  # so that it is made anew  # noqa: ASYNC240
    before = os.umask(0)
    try:
        async with opening() as shop:
            await shop.furnish()
            files = sorted(path.parent.glob("shop.db*"))
            assert [file.name for file in files] == ["shop.db", "shop.db-shm", "shop.db-wal", "shop.db.lock"]
            assert {mode(file) for file in files} == {0o600}
    finally:
        os.umask(before)


def test_f66_what_others_could_read_is_tightened_at_the_start_and_said(sqlite_database: str, path: Path) -> None:
    copy, folder = Path(f"{path}.before-0002"), mode(path.parent)
    shutil.copy(path, copy)
    for file in (path, copy):
        file.chmod(0o644)
    with structlog.testing.capture_logs() as said:
        open_database(sqlite_database).release()
        assert {line["file"] for line in said if "could read" in line["event"]} == {str(path), str(copy)}
        assert {mode(path), mode(copy)} == {0o600}
        said.clear()
        open_database(sqlite_database).release()
        assert not [line for line in said if "could read" in line["event"]]
    assert mode(path.parent) == folder
