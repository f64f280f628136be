"""A node that dies without a word is noticed by what the others see, and one that was given up wrongly goes on."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
from sqlalchemy import Connection, Engine, event, insert, make_url, select, update

from duckycart.hardware import ownership
from duckycart.hardware.ownership import Claim, claim_many, give_up, leave, take_back
from duckycart.lifecycle.sessions import end_if_idle, idle_sessions
from duckycart.nodes.heartbeat import BEAT_SECONDS, DEAD_SECONDS, GAP_SECONDS, Heartbeat, beat
from duckycart.store.postgres import PostgresStore, engine_for, transact
from duckycart.store.tables import carts, nodes
from duckycart.store.transaction import Transaction
from duckycart.testing.clock import ManualClock
from duckycart.testing.waiting import PATIENCE, until
from tests.admin.test_sessions import shell
from tests.hardware.helpers import GENERATE_QR, end_by_force, heard, raw, said
from tests.nodes.world import Chain, Node, heartbeat, heartbeat_of, open_node
from tests.ports import free_port
from tests.store.world import Effects, held, note, somebody_waits


@pytest.fixture
def bus() -> str:
    """The database alone says who lives."""
    return f"nats://127.0.0.1:{free_port()}"


async def names(node: Node) -> list[str]:
    return sorted(row.id.split("/")[0] for row in await node.rows(select(nodes)))


async def b_is_silent(chain: Chain, seconds: float = DEAD_SECONDS) -> None:
    """Only a beats, for so long."""
    for _ in range(round(seconds / BEAT_SECONDS)):
        chain.move(BEAT_SECONDS)
        await heartbeat(chain.a)


async def lives_after_all(node: Node) -> None:
    """Its timers run again."""
    await heartbeat(node)
    await node.sweep()


async def test_a_node_is_known_from_its_start_to_its_end(postgres_database: str, bus: str) -> None:
    async with open_node(postgres_database, bus, "a") as a:
        assert await names(a) == ["a"]
        async with open_node(postgres_database, bus, "b"):
            assert await names(a) == ["a", "b"]
        assert await names(a) == ["a"]


async def test_an_operator_sees_the_nodes_and_how_many_carts_each_has(chain: Chain) -> None:
    await raw(chain.b)
    await chain.beat()
    code, listed = await shell(chain.a, "nodes")
    assert code == 0
    assert [(one["node"].split("/")[0], one["carts"]) for one in listed["nodes"]] == [("a", 0), ("b", 1)]


async def test_the_carts_of_a_node_that_died_are_offline_in_seconds(chain: Chain) -> None:
    await raw(chain.b)
    await chain.b.online()
    await chain.beat()
    await b_is_silent(chain, DEAD_SECONDS - BEAT_SECONDS)
    assert (await chain.a.cart_row()).link_node is not None
    await b_is_silent(chain, BEAT_SECONDS)
    row = await chain.a.cart_row()
    assert row.link_node is None
    assert row.link_changed_at == chain.a.clock.now()
    assert await names(chain.a) == ["a"]


async def test_nodes_know_each_other_from_their_next_beat_on(postgres_database: str, bus: str) -> None:
    async with open_node(postgres_database, bus, "a") as a, open_node(postgres_database, bus, "b") as b:
        beats = [heartbeat_of(node) for node in (a, b)]
        ids = [node.inside.dispatch.node for node in (a, b)]
        assert beats[1].knows(ids[0])
        assert not beats[0].knows(ids[1])
        await heartbeat(a)
        assert beats[0].knows(ids[1])
        assert not beats[0].knows("b/other")


async def test_a_node_that_beats_is_not_given_up(chain: Chain) -> None:
    await raw(chain.b)
    for _ in range(10):
        chain.move(BEAT_SECONDS)
        await chain.beat()
    assert (await chain.a.cart_row()).link_node is not None


async def test_who_looked_away_gives_nobody_up(chain: Chain) -> None:
    """The database was away for both, or this node slept: what was seen before proves nothing."""
    await raw(chain.b)
    await chain.beat()
    chain.move(GAP_SECONDS + DEAD_SECONDS)
    await heartbeat(chain.a)
    assert await names(chain.a) == ["a", "b"]
    await b_is_silent(chain)
    assert await names(chain.a) == ["a"]


async def test_who_was_given_up_before_its_first_beat_and_lives_is_not_given_up_again_at_once(
    postgres_database: str, bus: str
) -> None:
    """Its row is made anew, with the same beats as the one that stood still."""
    async with open_node(postgres_database, bus, "a") as a, open_node(postgres_database, bus, "b") as b:
        for _ in range(round(DEAD_SECONDS / BEAT_SECONDS) + 1):
            a.clock.move(BEAT_SECONDS)
            await heartbeat(a)
        assert await names(a) == ["a"]
        await heartbeat(b)
        a.clock.move(BEAT_SECONDS)
        await heartbeat(a)
        assert await names(a) == ["a", "b"]


async def test_clocks_that_disagree_give_nobody_up(postgres_database: str, bus: str) -> None:
    async with open_node(postgres_database, bus, "a") as a, open_node(postgres_database, bus, "b") as b:
        b.clock.move(-3600)
        for _ in range(10):
            a.clock.move(BEAT_SECONDS)
            await heartbeat(b)
            await heartbeat(a)
        assert await names(a) == ["a", "b"]


async def test_a_node_given_up_wrongly_takes_back_its_links_and_delivers_what_was_queued_meanwhile(
    chain: Chain,
) -> None:
    cart = await raw(chain.b)
    await chain.b.online()
    await chain.beat()
    await b_is_silent(chain)
    await chain.a.qr()
    await chain.a.sweep()
    assert cart.texts == []
    await lives_after_all(chain.b)
    assert (await chain.a.cart_row()).link_node.startswith("b/")
    assert await names(chain.a) == ["a", "b"]
    await heard(cart, GENERATE_QR)
    assert await chain.a.settled() == ["received"]


async def test_f31_an_end_queued_while_its_node_was_given_up_is_told(chain: Chain) -> None:
    cart = await raw(chain.b)
    shopper = await chain.a.shopper()
    session_id = await chain.b.start(shopper)
    await chain.a.settled()
    await chain.beat()
    await b_is_silent(chain)
    await end_by_force(chain.a, session_id)
    await lives_after_all(chain.b)
    await heard(cart, GENERATE_QR, said("session_started", session_id), said("end_session", session_id))


async def test_a_node_given_up_by_one_whose_clock_is_slow_takes_its_links_back(chain: Chain) -> None:
    """When the row changed, as others say, is long before this node looked the last time."""
    cart = await raw(chain.b)
    await chain.b.online()
    await chain.beat()
    await chain.b.sweep()
    chain.a.clock.correct(-120)
    await b_is_silent(chain)
    assert (await chain.a.cart_row()).link_node is None
    await lives_after_all(chain.b)
    await chain.a.qr()
    await chain.b.sweep()
    await heard(cart, GENERATE_QR)


async def test_a_cart_that_is_said_to_be_here_and_is_not_is_released(chain: Chain) -> None:
    """A claim whose answer was lost, or a link that was taken back in the moment of its end."""
    node = chain.b.inside.dispatch.node

    def say_so(tx: Transaction) -> None:
        tx.connection.execute(update(carts).values(link_node=node, link_epoch=7, link_changed_at=0))

    await chain.b.inside.store.write(say_so)
    await chain.b.sweep()
    await until(lambda: not len(chain.b.inside.connector.claims))
    assert (await chain.a.cart_row()).link_node is None


async def test_a_node_that_ends_leaves_no_cart_behind_even_if_a_release_failed(
    postgres_database: str, bus: str
) -> None:
    async with open_node(postgres_database, bus, "stays") as stays:
        async with open_node(postgres_database, bus, "ends") as ends:
            await ends.furnish()
            node = ends.inside.dispatch.node

            def say_so(tx: Transaction) -> None:
                tx.connection.execute(update(carts).values(link_node=node, link_epoch=7))

            await ends.inside.store.write(say_so)
        assert (await stays.cart_row()).link_node is None


async def test_a_node_that_begins_anew_is_not_given_up_for_the_beats_it_had(chain: Chain) -> None:
    await heartbeat(chain.b)
    await heartbeat(chain.a)
    await b_is_silent(chain)
    assert await names(chain.a) == ["a"]
    await heartbeat(chain.b)
    await heartbeat(chain.b)
    chain.move(BEAT_SECONDS)
    await heartbeat(chain.a)
    assert await names(chain.a) == ["a", "b"]


async def idle(node: Node) -> list[tuple[int, int]]:
    """What this node's housekeeping would look at now."""
    now = node.clock.now()
    return await node.inside.store.read(lambda connection: idle_sessions(connection, now, node.inside.rules))


async def test_f40_an_abandoned_basket_is_reported_once_however_many_nodes_look(chain: Chain) -> None:
    await raw(chain.b)
    shopper = await chain.a.shopper()
    await chain.a.add(await chain.a.start(shopper))
    chain.move(chain.a.inside.rules.idle_seconds + 1)
    found = [await idle(node) for node in (chain.a, chain.b)]
    assert found[0] == found[1] != []
    for node in (chain.a, chain.b):
        for session_id, cart_id in found[0]:
            await node.inside.store.write(
                partial(end_if_idle, session_id=session_id, cart_id=cart_id, rules=node.inside.rules)
            )
    assert await chain.a.alarm_kinds() == ["session_idle"]


async def test_a_link_that_was_taken_over_meanwhile_is_not_taken_back(chain: Chain) -> None:
    old = await raw(chain.b)
    await chain.b.online()
    await chain.beat()
    await b_is_silent(chain)
    await raw(chain.a)
    await lives_after_all(chain.b)
    assert (await chain.a.cart_row()).link_node.startswith("a/")
    await until(lambda: old.closed)
    assert old.closed is not None
    assert old.closed[0] == 4409


@pytest.mark.parametrize("changes", [{"key_hash": b"other"}, {"disabled": True}], ids=["key", "disabled"])
async def test_a_link_whose_credential_was_withdrawn_meanwhile_is_not_taken_back(
    chain: Chain, changes: dict[str, object]
) -> None:
    await raw(chain.b)
    await chain.b.online()
    await chain.beat()
    await b_is_silent(chain)

    def withdraw(tx: Transaction) -> None:
        link = {"link_epoch": carts.c.link_epoch + 1, "link_node": None, "link_changed_at": tx.now}
        tx.connection.execute(update(carts).values(**changes, **link))

    await chain.a.inside.store.write(withdraw)
    await lives_after_all(chain.b)
    assert (await chain.a.cart_row()).link_node is None


@asynccontextmanager
async def after_a_crash(database: str, bus: str) -> AsyncIterator[Node]:
    """A node that starts where a cart's row names one that there is no more."""
    async with open_node(database, bus, "first") as first:

        def orphan(tx: Transaction) -> None:
            cart = {"id": 1, "key_hash": b"k", "created_at": 0, "link_node": "long/gone", "link_epoch": 3}
            tx.connection.execute(insert(carts).values(cart))
            tx.connection.execute(insert(carts).values({**cart, "id": 2, "key_hash": b"l", "link_node": node_id}))

        (node_id,) = [row.id for row in await first.rows(select(nodes))]
        await first.inside.store.write(orphan)
        async with open_node(database, bus, "second") as second:
            yield second


async def test_carts_of_a_node_that_nobody_remembers_are_released_at_a_start(postgres_database: str, bus: str) -> None:
    async with after_a_crash(postgres_database, bus) as node:
        assert (await node.cart_row(1)).link_node is None
        assert (await node.cart_row(2)).link_node.startswith("first/")


@pytest.fixture
def engine(postgres_database: str) -> Iterator[Engine]:
    engine = engine_for(make_url(postgres_database))
    yield engine
    engine.dispose()


def hold_three(tx: Transaction, node: str) -> None:
    beat(tx, node, 3)
    for cart_id in (1, 2, 3):
        cart = {"id": cart_id, "key_hash": bytes([cart_id]), "created_at": 0, "link_node": node}
        tx.connection.execute(insert(carts).values(cart))


def owners(engine: Engine) -> list[str | None]:
    with engine.connect() as connection:
        return list(connection.execute(select(carts.c.link_node).order_by(carts.c.id)).scalars())


@pytest.mark.parametrize("at_once", [1, 1000])
async def test_a_cart_that_a_new_node_claims_while_its_old_one_is_given_up_stays_claimed(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """Giving up waits for cart 1; meanwhile a node begins that claims cart 2. Cart 3 nobody claims."""
    monkeypatch.setattr(ownership, "SLICE", at_once)
    clock = ManualClock()
    transact(engine, clock, lambda tx: hold_three(tx, "dead"))
    with held(engine, select(carts.c.id).where(carts.c.id == 1)):
        giving_up = asyncio.create_task(asyncio.to_thread(transact, engine, clock, lambda tx: give_up(tx, "dead", 0)))
        await until(somebody_waits(engine))
        transact(engine, clock, lambda tx: beat(tx, "new", 0))
        transact(engine, clock, lambda tx: claim_many(tx, [Claim(2, None, None)], "new"))
    assert await giving_up == 2
    assert owners(engine) == [None, "new", None]


async def test_a_beat_under_way_makes_no_row_after_the_node_left(postgres_database: str) -> None:
    """Cancelling who waits for a beat, a timer, does not cancel the beat."""
    store = PostgresStore(make_url(postgres_database), ManualClock(), Effects())
    heart = Heartbeat(store, ManualClock(), "leaves", lambda: 0)
    await heart.begin()
    begun, go_on = threading.Event(), threading.Event()

    def hold_the_first(_: Connection) -> None:
        if not begun.is_set():
            begun.set()
            assert go_on.wait(PATIENCE)

    event.listen(store._engine, "begin", hold_the_first)
    timer = asyncio.create_task(heart())
    await until(begun.is_set)
    timer.cancel()
    ending = asyncio.create_task(heart.end())
    for _ in range(20):  # other writers have all the time to let the node leave
        await store.write(note("next"))
    go_on.set()
    await ending
    await store.close()  # the beat is over
    with engine_for(make_url(postgres_database)).connect() as connection:
        assert connection.execute(select(nodes)).all() == []


async def test_a_node_beats_no_more_after_its_end(chain: Chain) -> None:
    await heartbeat_of(chain.b).end()
    await heartbeat(chain.b)
    assert await names(chain.a) == ["a"]


async def test_a_node_that_left_takes_nothing_back(engine: Engine) -> None:
    transact(engine, ManualClock(), lambda tx: hold_three(tx, "here"))
    transact(engine, ManualClock(), lambda tx: beat(tx, "there", 0))
    transact(engine, ManualClock(), lambda tx: leave(tx, "here"))
    transact(engine, ManualClock(), lambda tx: take_back(tx, {1: 0}, "here"))
    assert owners(engine) == [None, None, None]


async def test_a_node_that_leaves_releases_what_it_is_just_taking_back(engine: Engine) -> None:
    transact(engine, ManualClock(), lambda tx: hold_three(tx, "here"))
    transact(engine, ManualClock(), lambda tx: tx.connection.execute(update(carts).values(link_node=None)))
    with engine.begin() as connection:
        take_back(Transaction(connection, 0, 0), {1: 0}, "here")
        leaving = asyncio.create_task(asyncio.to_thread(transact, engine, ManualClock(), lambda tx: leave(tx, "here")))
        await until(somebody_waits(engine))
    await leaving
    assert owners(engine) == [None, None, None]
