"""PostgreSQL goes away and comes back; transactions that meet; one server per database."""

import asyncio
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TypeVar

import pytest
from sqlalchemy import URL, Connection, event, make_url, text

from duckycart.errors import Conflict, DuckyCartError, Unavailable
from duckycart.hardware.catchup import Filled
from duckycart.hardware.ownership import Claim, claim_many
from duckycart.lifecycle.carts import lock_cart, queue_command
from duckycart.refusals import CONFLICT
from duckycart.store.database import open_database
from duckycart.store.migrate import upgrade_postgres
from duckycart.store.postgres import READERS, WRITERS, PostgresStore, Tenancy
from duckycart.store.tables import carts, users
from duckycart.store.transaction import DatabaseInUse, Transaction
from duckycart.testing.clock import ManualClock
from duckycart.testing.waiting import PATIENCE, until
from duckycart.wire import CommandType
from tests.postgres import OwnPostgres, own_postgres
from tests.store.world import Effects, Gate, note, notes, somebody_waits

T = TypeVar("T")


@pytest.fixture(scope="module")
def breakable() -> Iterator[OwnPostgres]:
    """One of this module's own, which may be stopped."""
    with own_postgres() as postgres:
        yield postgres


@asynccontextmanager
async def open_store(url: URL, effects: Effects | None = None) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(url, ManualClock(), effects if effects is not None else Effects())
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
async def store(postgres_database: str, effects: Effects) -> AsyncIterator[PostgresStore]:
    async with open_store(make_url(postgres_database), effects) as opened:
        yield opened


def add_cart(tx: Transaction) -> None:
    tx.connection.execute(carts.insert().values(id=1, key_hash=b"k", created_at=0))


async def test_a_transaction_is_all_or_nothing_and_tells_after_its_commit(
    store: PostgresStore, effects: Effects
) -> None:
    def half(tx: Transaction) -> None:
        note("half")(tx)
        raise CONFLICT()

    assert await store.write(note("whole")) == "whole"
    with pytest.raises(Conflict):
        await store.write(half)
    assert await store.read(notes) == effects == ["whole"]


async def test_f34_what_a_claim_reads_is_newer_than_the_lock_it_waited_for(store: PostgresStore) -> None:
    """A command is being committed when the cart connects, together with another: the claims wait for the row and then
    find the command."""
    await store.write(add_cart)
    await store.write(lambda tx: tx.connection.execute(carts.insert().values(id=2, key_hash=b"l", created_at=0)))
    gate, locked = Gate(), threading.Event()

    def command(tx: Transaction) -> None:
        cart = lock_cart(tx, 1)
        locked.set()
        gate(tx)
        queue_command(tx, replace(cart, qr_expires_at=tx.now + 1000), CommandType.GENERATE_QR, None)

    committing = asyncio.ensure_future(store.write(command))
    await asyncio.to_thread(locked.wait, PATIENCE)
    claiming = asyncio.ensure_future(
        store.write(lambda tx: claim_many(tx, [Claim(2, b"l", None), Claim(1, b"k", None)], "here"))
    )
    await until(somebody_waits(store._engine))
    gate.open.set()
    await committing
    other, filled = await claiming
    assert isinstance(filled, Filled)
    assert isinstance(other, Filled)
    assert other.rows == ()
    assert [row.seq for row in filled.rows] == [1]


async def test_two_that_wait_for_each_other_both_succeed(store: PostgresStore) -> None:
    for number in (1, 2):
        await store.write(
            lambda tx, number=number: tx.connection.execute(  # type: ignore[misc]
                carts.insert().values(id=number, key_hash=bytes([number]), created_at=0)
            )
        )
    met = threading.Barrier(2)

    def lock_both(order: tuple[int, int]) -> object:
        first_time = [True]

        def work(tx: Transaction) -> str:
            lock_cart(tx, order[0])
            if first_time[0]:
                first_time[0] = False
                met.wait(PATIENCE)
            lock_cart(tx, order[1])
            return note(str(order))(tx)

        return work

    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(store.write(lock_both((1, 2))), store.write(lock_both((2, 1))))  # type: ignore[arg-type]
    assert len(await store.read(notes)) == 2


async def test_a_rule_of_the_database_that_stays_broken_is_a_conflict(store: PostgresStore) -> None:
    def add(tx: Transaction) -> None:
        tx.connection.execute(
            users.insert().values(email="a", full_name="", is_active=True, is_operator=False, created_at=0)
        )

    await store.write(add)
    with pytest.raises(Conflict):
        await store.write(add)
    assert await store.write(note("next")) == "next"


async def test_while_it_is_away_everybody_is_told_at_once_and_then_everything_goes_on(breakable: OwnPostgres) -> None:
    with breakable.database() as url:
        upgrade_postgres(url)
        effects = Effects()
        async with open_store(url, effects) as store:
            await store.write(note("before"))
            breakable.stop(signal.SIGQUIT)
            try:
                failed = await asyncio.gather(
                    *(store.write(note(f"lost {number}")) for number in range(50)),
                    *(store.read(notes) for _ in range(5)),
                    return_exceptions=True,
                )
            finally:
                breakable.start()
            assert all(isinstance(error, Unavailable) for error in failed)
            for _ in range(20):  # each thread has to find out for itself
                await store.write(note("after"))
                await store.read(notes)
            assert await store.read(notes) == effects == ["before"] + ["after"] * 20


class SilentPeer:
    """Takes connections and says nothing, like a machine whose packets are dropped; then ends them all."""

    def __init__(self) -> None:
        self.asked = 0
        self._ended = False
        self._writers: list[asyncio.StreamWriter] = []

    async def __call__(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked += 1
        self._writers.append(writer)
        if self._ended:
            writer.close()

    def end(self) -> None:
        self._ended = True
        for writer in self._writers:
            writer.close()


async def test_a_database_that_says_nothing_is_waited_for_once_by_all_who_ask_meanwhile() -> None:
    peer = SilentPeer()
    async with await asyncio.start_server(peer, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        url = URL.create("postgresql+psycopg", "duckycart", None, host, port, "duckycart")
        async with open_store(url.update_query_dict({"sslmode": "disable", "gssencmode": "disable"})) as store:
            asked = asyncio.gather(
                *(store.write(note("lost")) for _ in range(40)),
                *(store.read(notes) for _ in range(40)),
                return_exceptions=True,
            )
            await until(lambda: peer.asked == WRITERS + READERS)  # all of its threads
            peer.end()
            assert [type(answer) for answer in await asked] == [Unavailable] * 80
            assert peer.asked == WRITERS + READERS
            with pytest.raises(Unavailable):
                await store.read(notes)
            assert peer.asked == WRITERS + READERS + 1  # who asks later tries again


async def test_connections_that_died_while_they_were_idle_are_replaced_unseen(
    store: PostgresStore, effects: Effects
) -> None:
    others = text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid()"
    )
    for number in range(20):
        await store.write(note(str(number)))
    await store.write(lambda tx: tx.connection.execute(others).all())
    for number in range(20, 40):
        await store.write(note(str(number)))
        assert len(await store.read(notes)) == number + 1
    assert effects == [str(number) for number in range(40)]


async def test_a_connection_lost_in_the_middle_leaves_nothing_and_the_work_is_done_once(store: PostgresStore) -> None:
    tries = []

    def work(tx: Transaction) -> str:
        note("once")(tx)
        tries.append(1)
        if len(tries) == 1:
            tx.connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        return "done"

    await store.write(note("warm"))
    try:
        done = [await store.write(work)]
    except DuckyCartError:  # a connection that was never used may have been the one: then the caller is told
        done = []
    assert (await store.read(notes)).count("once") == len(done)


async def test_a_commit_whose_outcome_nobody_knows_says_so(store: PostgresStore, effects: Effects) -> None:
    """The connection is lost while it commits; the next transaction goes on with a new one."""
    lost: list[object] = []

    def cut(connection: Connection) -> None:
        if not lost:
            driver = connection.connection.driver_connection
            assert driver is not None
            lost.append(driver)
            driver.close()

    event.listen(store._engine, "commit", cut)
    with pytest.raises(Unavailable) as refusal:
        await store.write(note("nobody knows"))
    assert refusal.value.code == "outcome_unknown"
    assert await store.write(note("next")) == "next"
    assert effects == ["next"]


def soon(take: Callable[[], T]) -> T:
    """What takes a lock that was just let go: the database notices a moment later that its holder's session ended."""
    give_up = time.monotonic() + PATIENCE
    while True:
        try:
            return take()
        except DatabaseInUse:
            if time.monotonic() > give_up:
                raise


def test_one_server_per_database(postgres_database: str) -> None:
    first = open_database(postgres_database)
    with pytest.raises(DatabaseInUse, match=r"Another DuckyCart server uses this database"):
        open_database(postgres_database)
    assert first.hold is not None
    first.hold()
    first.release()
    soon(lambda: open_database(postgres_database)).release()


def test_several_servers_need_a_bus_each(postgres_database: str) -> None:
    members = [open_database(postgres_database, alone=False) for _ in range(2)]
    with pytest.raises(DatabaseInUse, match=r"the same --bus nats://"):
        open_database(postgres_database)
    for member in members:
        member.release()
    only = soon(lambda: open_database(postgres_database))
    with pytest.raises(DatabaseInUse, match=r"without a bus uses this database. Stop it"):
        open_database(postgres_database, alone=False)
    only.release()


def test_what_keeps_the_only_server_from_its_database_is_said_in_words(breakable: OwnPostgres) -> None:
    with breakable.database() as url:
        upgrade_postgres(url)
        opened = open_database(url.render_as_string(hide_password=False))
        assert opened.hold is not None
        breakable.stop()
        with pytest.raises(Unavailable):
            opened.hold()
        breakable.start()
        other = Tenancy(url, alone=True)
        with pytest.raises(Conflict, match="Another DuckyCart server"):
            opened.hold()
        other.release()
        soon(opened.hold)
        opened.release()


def test_the_lock_of_the_only_server_is_taken_again_after_a_restart(breakable: OwnPostgres) -> None:
    with breakable.database() as url:
        upgrade_postgres(url)
        first = Tenancy(url, alone=True)
        breakable.stop()
        breakable.start()
        with pytest.raises(Exception, match=r"terminat|closed|lost"):
            first.hold()
        first.hold()
        with pytest.raises(DatabaseInUse):
            Tenancy(url, alone=True)
        first.release()
