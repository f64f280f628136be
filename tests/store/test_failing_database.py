"""The database fails in the middle: everybody hears of it, nothing of it is kept, and the next one succeeds."""

import asyncio
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import insert, text

from duckycart.effects import Happened
from duckycart.errors import Conflict, Unavailable
from duckycart.store import sqlite
from duckycart.store.sqlite import SqliteStore, driver_of
from duckycart.store.tables import sessions, users
from duckycart.store.transaction import Transaction
from tests.store.world import Effects, Gate, note, notes, open_store, pragma

pytestmark = pytest.mark.usefixtures("patient")


async def outcomes(store: SqliteStore, *works: object) -> list[object]:
    """What came of these, run as one group."""
    gate = Gate()
    answers = [store.write(gate), *(store.write(work) for work in works)]  # type: ignore[arg-type]
    gate.open.set()
    return await asyncio.gather(*answers, return_exceptions=True)


def add_user(name: str) -> object:
    def work(tx: Transaction) -> None:
        tx.effects.append(Happened(name, cart_id=1))
        tx.connection.execute(
            insert(users).values(username=name, full_name="", is_active=True, is_operator=False, created_at=tx.now)
        )

    return work


async def fill_disk(store: SqliteStore) -> None:
    """No page more than the file has now; nothing of it is free."""

    def work(tx: Transaction) -> None:
        driver = driver_of(tx.connection)
        pages = driver.execute("PRAGMA page_count").fetchone()[0]
        driver.execute(f"PRAGMA max_page_count = {pages}")

    await store.write(work)


async def test_f33_one_full_disk_fails_every_member_and_keeps_nothing(store: SqliteStore, effects: Effects) -> None:
    await fill_disk(store)
    *members, after = await outcomes(store, note("before"), note("x" * 100_000), note("in a group of its own"))
    assert [type(member) for member in members] == [Unavailable] * 3
    # What a caller was told is what the database says: the one behind found room, in a new group.
    assert await store.read(notes) == effects == [after] == ["in a group of its own"]

    await store.write(pragma("max_page_count = 1000000"))
    assert await outcomes(store, note("x" * 100_000), note("b")) == [None, "x" * 100_000, "b"]
    assert await store.read(notes) == effects == ["in a group of its own", "x" * 100_000, "b"]


async def test_f33_a_member_that_hides_the_full_disk_fails_with_the_others(store: SqliteStore) -> None:
    def hide(tx: Transaction) -> None:
        try:
            note("x" * 100_000)(tx)
        except Exception:  # noqa: BLE001, RUF100
            return

    await fill_disk(store)
    results = await outcomes(store, note("before"), hide)
    assert [type(result) for result in results] == [Unavailable] * 3
    assert await store.read(notes) == []


async def test_f33_a_commit_that_fails_fails_every_member(store: SqliteStore, effects: Effects) -> None:
    def break_at_commit(tx: Transaction) -> None:
        tx.connection.execute(text("PRAGMA defer_foreign_keys = ON"))
        tx.connection.execute(
            insert(sessions).values(
                cart_id=404, user_id=404, qr_round=1, is_active=True, created_at=0, touched_at=0, version=1
            )
        )

    results = await outcomes(store, note("before"), break_at_commit, note("after"))
    assert all(isinstance(result, Unavailable) for result in results)
    assert effects == []
    assert await store.read(notes) == []
    assert await store.write(lambda tx: driver_of(tx.connection).total_changes >= 0)  # no transaction was left open
    assert await store.write(note("next")) == "next"


async def test_the_error_says_nothing_of_sql(store: SqliteStore) -> None:
    with pytest.raises(Unavailable) as failure:
        await store.write(lambda tx: tx.connection.execute(text("SELECT secret FROM nowhere")))
    assert failure.value.detail == "The database could not do this now; nothing was changed."
    assert failure.value.retry_after == 1


async def test_a_violated_index_runs_the_work_once_more(store: SqliteStore, effects: Effects) -> None:
    runs = []

    def lose_once(tx: Transaction) -> str:
        runs.append(tx)
        tx.effects.append(Happened(f"run {len(runs)}", cart_id=1))
        add_user("mona" if len(runs) == 1 else "omar")(tx)  # type: ignore[operator]
        return "joined"

    assert await outcomes(store, add_user("mona"), lose_once) == [None, None, "joined"]
    assert len(runs) == 2
    assert effects == ["mona", "run 2", "omar"]  # nothing of the run that was rolled back


async def test_an_index_violated_twice_is_a_conflict_of_that_member_alone(store: SqliteStore, effects: Effects) -> None:
    first, second, third = (await outcomes(store, add_user("mona"), add_user("mona"), add_user("omar")))[1:]
    assert (first, third) == (None, None)
    assert isinstance(second, Conflict)
    assert "users" not in second.detail
    assert effects == ["mona", "omar"]


async def test_the_writer_goes_on_after_somebody_held_the_lock_for_too_long(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.01)
    path = tmp_path / "store.db"
    async with open_store(template, path) as store:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable):
            await store.write(note("while it is locked"))
        assert await store.read(notes) == []  # readers do not wait for writers
        other.execute("COMMIT")
        other.close()
        assert await store.write(note("afterwards")) == "afterwards"
        assert await store.read(notes) == ["afterwards"]


async def test_the_writer_waits_for_the_administrations_short_transactions(template: Path, tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with open_store(template, path) as store:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        waiting = store.write(note("waits"))
        await store.read(notes)
        assert not waiting.done()
        other.execute("COMMIT")
        other.close()
        assert await waiting == "waits"
