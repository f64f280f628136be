"""Reading: one consistent state, never waiting for writers, never writing."""

import asyncio
import sqlite3
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from duckycart.errors import NotFound, Unavailable
from duckycart.refusals import UNKNOWN_CART
from duckycart.store import queue
from duckycart.store.sqlite import SqliteStore, driver_of, engine_for, transact
from duckycart.store.threads import ThreadedStore
from duckycart.store.transaction import Store, Transaction
from duckycart.testing.clock import ManualClock
from duckycart.testing.waiting import PATIENCE, until
from tests.store.world import note, notes, open_store


async def test_a_read_sees_one_state_whatever_is_committed_meanwhile(either: Store) -> None:
    await either.write(note("before"))
    looked, committed = threading.Event(), threading.Event()

    def look_twice(connection: Connection) -> tuple[list[str], list[str]]:
        first = notes(connection)
        looked.set()
        assert committed.wait(PATIENCE)
        return first, notes(connection)

    reading = either.read(look_twice)

    async def commit() -> None:
        await either.read(lambda connection: looked.wait(PATIENCE))
        await either.write(note("meanwhile"))
        committed.set()

    (first, second), _ = await asyncio.gather(reading, commit())
    assert first == second == ["before"]
    assert await either.read(notes) == ["before", "meanwhile"]


async def test_a_read_cannot_write(either: Store) -> None:
    for read in (either.read, either.look_up):
        with pytest.raises(Unavailable):
            await read(lambda connection: note("no")(Transaction(connection, 0, 0)))
    assert await either.read(notes) == []
    assert await either.look_up(notes) == []  # the connection is as good as it was


async def test_an_error_in_a_read_reaches_its_caller_and_the_next_read_sees_the_present(store: SqliteStore) -> None:
    def refuse(connection: Connection) -> None:
        notes(connection)
        raise UNKNOWN_CART(cart_id=7)

    for _ in range(4):  # on each of the readers' connections
        with pytest.raises(NotFound):
            await store.read(refuse)
    await store.write(note("new"))
    for _ in range(4):
        assert await store.read(notes) == ["new"]


async def test_a_look_up_sees_what_was_committed_before_it_and_cannot_write(either: Store) -> None:
    for number in range(3):
        await either.write(note(str(number)))
        assert len(await either.look_up(notes)) == number + 1
    with pytest.raises(Unavailable):
        await either.look_up(lambda connection: note("no")(Transaction(connection, 0, 0)))
    assert len(await either.look_up(notes)) == 3


async def test_a_refusal_in_a_look_up_is_not_asked_twice(either: Store) -> None:
    asked = []

    def refuse(connection: Connection) -> None:
        asked.append(notes(connection))
        raise UNKNOWN_CART(cart_id=7)

    with pytest.raises(NotFound):
        await either.look_up(refuse)
    assert len(asked) == 1


async def test_what_a_look_up_would_have_to_wait_for_is_waited_for_in_a_thread(store: SqliteStore) -> None:
    here = threading.current_thread()
    asked = []

    def look(connection: Connection) -> list[str]:
        asked.append(threading.current_thread() is here)
        if asked == [True]:
            raise OperationalError("SELECT", None, sqlite3.OperationalError("database is locked"))
        return notes(connection)

    await store.write(note("a"))
    assert await store.look_up(look) == ["a"]
    assert asked == [True, False]
    assert await store.look_up(look) == ["a"]
    assert asked == [True, False, True]


async def test_a_database_that_stands_still_is_not_looked_at_in_the_event_loop(store: SqliteStore) -> None:
    here, go_on = threading.current_thread(), threading.Event()
    with pytest.raises(Unavailable):
        await store.write(lambda _: go_on.wait(PATIENCE), within=0.0)
    for _ in range(2):
        assert await store.look_up(lambda _: threading.current_thread()) is not here
    go_on.set()

    async def commits() -> bool:
        with suppress(Unavailable):  # while it shares the group of what was given up
            await store.write(note("it answers again"))
            return True
        return False

    await until(commits)
    assert await store.look_up(lambda _: threading.current_thread()) is here


async def test_too_many_reads_are_refused_at_once(either: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(either, ThreadedStore)
    go_on, begun = threading.Event(), threading.Semaphore(0)

    def hang(_: Connection) -> bool:
        begun.release()
        return go_on.wait(PATIENCE)

    reading = [asyncio.create_task(either.read(hang)) for _ in either._readers]
    for _ in reading:
        await asyncio.to_thread(begun.acquire)
    monkeypatch.setattr(queue, "WAITING", 2)
    reading += [asyncio.create_task(either.read(hang)) for _ in range(2)]
    await asyncio.sleep(0)  # both wait
    with pytest.raises(Unavailable) as refusal:
        await either.read(notes)
    assert (refusal.value.code, refusal.value.retry_after) == ("overloaded", 2)
    go_on.set()
    assert all(await asyncio.gather(*reading))
    assert await either.read(notes) == []


async def test_the_administrations_transactions_are_all_or_nothing(template: Path, tmp_path: Path) -> None:
    async with open_store(template, tmp_path / "store.db") as store:

        def half_done(tx: Transaction) -> None:
            note("half")(tx)
            raise UNKNOWN_CART(cart_id=7)

        with pytest.raises(NotFound):
            transact(store._engine, ManualClock(), half_done)
        assert transact(store._engine, ManualClock(), note("whole")) == "whole"
        assert await store.read(notes) == ["whole"]


def test_a_commit_is_on_the_disk_when_it_returns(template: Path) -> None:
    with engine_for(template).connect() as connection:
        driver: sqlite3.Connection = driver_of(connection)
        assert driver.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert driver.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
        assert driver.execute("PRAGMA foreign_keys").fetchone() == (1,)
