"""A database that stands still: every caller is told in time, what was called off never happens, and all goes on."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, Connection, event

from duckycart.errors import DuckyCartError, Unavailable
from duckycart.store import postgres, sqlite, threads
from duckycart.store.database import open_database
from duckycart.store.postgres import PostgresStore, Tenancy
from duckycart.store.sqlite import SqliteStore, driver_of
from duckycart.store.threads import ThreadedStore
from duckycart.store.transaction import Store, Transaction
from duckycart.testing.clock import ManualClock
from duckycart.testing.endpoint import Endpoint
from duckycart.testing.relay import relaying
from duckycart.testing.waiting import PATIENCE, until
from tests.postgres import OwnPostgres, own_postgres
from tests.store.world import Effects, note, notes, open_store

GONE, UNKNOWN = "database_unavailable", "outcome_unknown"


@pytest.fixture(scope="module")
def freezable() -> Iterator[OwnPostgres]:
    with own_postgres() as postgres, postgres.with_template():
        yield postgres


@pytest.fixture
def url(freezable: OwnPostgres) -> Iterator[URL]:
    with freezable.migrated() as url:
        yield url


class Deadlines:
    """The store's deadlines, which pass when the test says so."""

    def __init__(self, store: Store) -> None:
        assert isinstance(store, ThreadedStore)
        self._loop = store._loop
        self._set: list[tuple[asyncio.TimerHandle, Callable[[], None]]] = []
        store._loop = self  # type: ignore[assignment]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        self._set.append((self._loop.call_later(seconds, callback), callback))
        return self._set[-1][0]

    async def told(self, *answers: Awaitable[object]) -> set[str]:
        """The codes with which all of these are refused when their deadline is there."""
        asked = [asyncio.ensure_future(answer) for answer in answers]
        await asyncio.sleep(0)  # reads are asked for when they are awaited
        for deadline, callback in self._set:
            if not deadline.cancelled():
                deadline.cancel()
                callback()
        self._set.clear()
        return await codes(*asked)


@asynccontextmanager
async def on_postgres(url: URL, effects: Effects) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(url, ManualClock(), effects)
    try:
        yield store
    finally:
        await store.close()


async def warm(store: ThreadedStore) -> None:
    """Every thread has a connection that worked."""
    writers, readers = threading.Barrier(len(store._writers)), threading.Barrier(len(store._readers))
    await asyncio.gather(
        *(store.write(lambda _: writers.wait(PATIENCE)) for _ in store._writers),
        *(store.read(lambda _: readers.wait(PATIENCE)) for _ in store._readers),
    )


async def codes(*answers: Awaitable[object]) -> set[str]:
    """The codes with which all of these are refused."""
    results = await asyncio.gather(*answers, return_exceptions=True)
    assert all(isinstance(result, Unavailable) for result in results), results
    return {result.code for result in results if isinstance(result, Unavailable)}


async def resumed(store: Store) -> None:
    """Until the store takes what it is given."""

    async def takes() -> bool:
        try:
            await store.write(lambda tx: None)
            await store.read(notes)
        except DuckyCartError:
            return False
        return True

    await until(takes)


async def test_f48_while_postgres_is_frozen_everybody_is_told_and_afterwards_all_goes_on(
    freezable: OwnPostgres, url: URL, effects: Effects
) -> None:
    """The connections are warm, and far more ask than there are threads."""
    async with on_postgres(url, effects) as store:
        deadlines = Deadlines(store)
        await warm(store)
        await store.write(note("before"))
        with freezable.frozen():
            writes = [store.write(note(f"lost {number}")) for number in range(50)]
            reads = [store.read(notes) for _ in range(50)]
            assert await deadlines.told(*writes, *reads) == {GONE}
            assert await deadlines.told(store.write(note("lost too")), store.read(notes)) == {GONE}
        await resumed(store)
        assert await store.write(note("after")) == "after"
        assert await store.read(notes) == effects == ["before", "after"]


async def test_f48_one_connection_whose_packets_are_swallowed_is_given_up(
    url: URL, effects: Effects, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that forgets connections: neither end hears that the other is gone."""
    async with AsyncExitStack() as stack:
        assert url.host is not None
        assert url.port is not None
        relay = await stack.enter_async_context(relaying(Endpoint(url.port, url.host)))
        there = url.set(host=relay.endpoint.host, port=relay.port)
        store = await stack.enter_async_context(on_postgres(there, effects))
        await store.write(note("before"))
        relay.stall()
        monkeypatch.setattr(postgres.Bounded, "patience", 0.3)
        deadlines, asking = Deadlines(store), threading.Event()

        def lost(tx: Transaction) -> None:
            asking.set()
            note("lost")(tx)

        writes: list[Awaitable[None]] = []

        def ask() -> bool:
            writes.append(store.write(lost))
            return asking.is_set()

        await until(ask)  # the connection of before is used: it might be called off earlier than that
        assert await deadlines.told(*writes, store.read(notes)) == {GONE}
        await until(lambda: relay.ends_lost)  # the connection of before is given up
        monkeypatch.setattr(postgres.Bounded, "patience", PATIENCE)
        relay.resume()
        await resumed(store)
        await store.write(note("after"))
        assert await store.read(notes) == effects == ["before", "after"]


async def test_f48_of_a_commit_that_is_not_answered_nobody_knows(
    freezable: OwnPostgres, url: URL, effects: Effects, monkeypatch: pytest.MonkeyPatch
) -> None:
    began: list[bool] = []
    with ExitStack() as frozen:

        def freeze(_: Connection) -> None:
            if not began:
                began.append(True)
                monkeypatch.setattr(postgres.Bounded, "patience", 0.3)
                frozen.enter_context(freezable.frozen())

        async with on_postgres(url, effects) as store:
            await warm(store)
            event.listen(store._engine, "commit", freeze)
            assert await codes(store.write(note("nobody knows"))) == {UNKNOWN}
            frozen.close()
            monkeypatch.setattr(postgres.Bounded, "patience", PATIENCE)
            await until(lambda: told(store, ["nobody knows"]))  # the sweeps find such


async def told(store: Store, wanted: list[str]) -> bool:
    return await store.read(notes) == wanted


def test_f48_what_begins_with_a_frozen_database_ends_with_a_sentence(
    freezable: OwnPostgres, url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenancy = Tenancy(url, alone=True)
    with freezable.frozen(), monkeypatch.context() as soon:
        soon.setattr(postgres.Bounded, "patience", 0.3)
        with pytest.raises(Unavailable, match="cannot be used: "):
            open_database(url.render_as_string(hide_password=False))
        with pytest.raises(Exception, match=r"no answer for 0\.3 s"):
            tenancy.hold()
    tenancy.hold()
    tenancy.release()


# On either store


@asynccontextmanager
async def held(store: ThreadedStore, hurry: bool = True) -> AsyncIterator[list["asyncio.Future[object]"]]:
    """Every writer is in the middle of something until the end of the block; gives what they are to answer."""
    go_on, held = threading.Event(), threading.Semaphore(0)

    def hang(tx: Transaction) -> None:
        note("in the middle")(tx)
        held.release()
        assert go_on.wait(PATIENCE)

    hanging = [store.write(hang, within=PATIENCE) for _ in store._writers]
    for _ in hanging:
        await asyncio.to_thread(held.acquire)
    try:
        yield hanging  # type: ignore[misc]
    finally:
        go_on.set()


async def test_f48_what_waits_behind_others_for_too_long_is_never_done(either: Store) -> None:
    assert isinstance(either, ThreadedStore)
    async with held(either) as hanging:
        deadlines = Deadlines(either)
        waiting = [either.write(note("waited"), hurry=hurry) for hurry in (True, False) * 10]
        assert await deadlines.told(*waiting) == {GONE}
        assert len(either._writes) == 0, "what is called off takes no room"
    await asyncio.gather(*hanging)
    await either.write(note("after"))
    assert set(await either.read(notes)) == {"in the middle", "after"}


async def test_f48_what_is_called_off_before_its_commit_is_not_kept(either: Store) -> None:
    begun, go_on = threading.Event(), threading.Event()
    deadlines = Deadlines(either)

    def slow(tx: Transaction) -> None:
        note("called off")(tx)
        begun.set()
        assert go_on.wait(PATIENCE)

    slowly = either.write(slow)
    await until(begun.is_set)
    assert await deadlines.told(slowly) == {GONE}
    go_on.set()
    await resumed(either)
    assert await either.read(notes) == []


async def test_f48_a_read_that_hangs_is_told_and_the_next_one_succeeds(either: Store) -> None:
    go_on = threading.Event()
    assert isinstance(either, ThreadedStore)
    hanging = [either.read(lambda _: go_on.wait(PATIENCE)) for _ in either._readers]
    assert await Deadlines(either).told(*hanging, either.read(notes)) == {GONE}
    go_on.set()
    await resumed(either)


# SQLite


async def test_f48_a_file_that_others_lock_for_long_is_not_waited_for(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, effects: Effects
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", PATIENCE)  # as a disk that hangs: the thread stays in it
    path = tmp_path / "store.db"
    async with open_store(template, path, effects) as store:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        deadlines = Deadlines(store)
        assert await deadlines.told(*(store.write(note("lost")) for _ in range(10))) == {GONE}
        assert await store.read(notes) == []
        other.execute("COMMIT")
        other.close()
        await resumed(store)
        await store.write(note("after"))
        assert await store.read(notes) == effects == ["after"]


@asynccontextmanager
async def hanging_commits(store: SqliteStore) -> AsyncIterator[Callable[[], bool]]:
    """The disk holds each COMMIT until the end of the block; gives whether it has one."""
    armed, at_it, go_on = threading.Event(), threading.Event(), threading.Event()

    def look(statement: str) -> None:
        if armed.is_set() and statement == "COMMIT":
            at_it.set()
            assert go_on.wait(PATIENCE)

    await store.write(lambda tx: driver_of(tx.connection).set_trace_callback(look))
    armed.set()
    try:
        yield at_it.is_set
    finally:
        go_on.set()


async def test_f48_of_a_commit_that_the_disk_holds_nobody_knows(store: SqliteStore, effects: Effects) -> None:
    deadlines = Deadlines(store)
    async with hanging_commits(store) as at_it:
        held = store.write(note("held"))
        await until(at_it)
        assert await deadlines.told(held) == {UNKNOWN}
        assert await deadlines.told(store.write(note("behind it"))) == {GONE}
        assert effects == []
    await until(lambda: effects == ["held"])  # late, but no less committed
    assert await store.read(notes) == ["held"]


async def test_f48_a_disk_that_never_answers_does_not_hold_the_end(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "CLOSE_SECONDS", 0.1)
    async with open_store(template, tmp_path / "store.db") as store:
        deadlines = Deadlines(store)
        async with hanging_commits(store) as at_it:
            held = store.write(note("held"))
            await until(at_it)
            assert await deadlines.told(held) == {UNKNOWN}
            await store.close()
            assert store._writers[0].is_alive()
        store._writers[0].join()
