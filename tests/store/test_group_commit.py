"""Many transitions, one commit: nobody is answered before it, and no member answers for another."""

import asyncio
import threading
from asyncio import Future
from typing import Any

import pytest

from duckycart.effects import Effect
from duckycart.errors import NotFound, Unavailable
from duckycart.refusals import UNKNOWN_CART
from duckycart.store import queue, sqlite
from duckycart.store.sqlite import SqliteStore, driver_of
from duckycart.store.transaction import Transaction
from duckycart.testing.waiting import PATIENCE, until
from tests.store.world import Effects, Gate, note, notes


def commits(store: SqliteStore) -> tuple[list[str], threading.Event, Future[None]]:
    """(BEGINs and COMMITs as they are about to run, what lets a COMMIT go on, when this is in force)."""
    seen: list[str] = []
    go_on = threading.Event()

    def watch(statement: str) -> None:
        if statement.startswith(("BEGIN", "COMMIT")):
            seen.append(statement.split()[0])
        if statement == "COMMIT":
            assert go_on.wait(PATIENCE)

    def install(tx: Transaction) -> None:
        driver_of(tx.connection).set_trace_callback(watch)

    return seen, go_on, store.write(install)


@pytest.mark.usefixtures("patient")
async def test_nobody_is_answered_and_no_effect_is_handed_out_before_the_commit(
    store: SqliteStore, effects: Effects
) -> None:
    seen, go_on, installed = commits(store)
    answers: list[Future[Any]] = [store.write(note("first")), store.write(note("second"))]
    await until(lambda: "COMMIT" in seen)
    assert await store.read(notes) == []  # a whole way through the event loop, and nothing is known yet
    assert not any(answer.done() for answer in (installed, *answers))
    assert effects == []
    go_on.set()
    assert await asyncio.gather(*answers) == ["first", "second"]
    assert effects == ["first", "second"]
    assert await store.read(notes) == ["first", "second"]


@pytest.mark.usefixtures("patient")
async def test_one_commit_serves_the_whole_group(store: SqliteStore) -> None:
    seen, go_on, installed = commits(store)
    go_on.set()
    await installed
    seen.clear()
    gate = Gate()
    answers: list[Future[Any]] = [store.write(gate), *(store.write(note(str(number))) for number in range(5))]
    gate.open.set()
    await asyncio.gather(*answers)
    assert seen == ["BEGIN", "COMMIT"]


@pytest.mark.usefixtures("patient")
async def test_a_member_that_raises_rolls_back_alone(store: SqliteStore, effects: Effects) -> None:
    def half_done(tx: Transaction) -> None:
        note("of the one that fails")(tx)
        raise UNKNOWN_CART(cart_id=7)

    gate = Gate()
    gating, before = store.write(gate), store.write(note("before"))
    failing, after = store.write(half_done), store.write(note("after"))
    gate.open.set()
    with pytest.raises(NotFound):
        await failing
    await gating
    assert [await before, await after] == ["before", "after"]
    assert await store.read(notes) == ["before", "after"]
    assert effects == ["before", "after"]


async def test_an_unexpected_error_reaches_its_caller_and_harms_nobody(store: SqliteStore) -> None:
    def mistaken(tx: Transaction) -> str:
        return {"a": "b"}["c"]

    with pytest.raises(KeyError):
        await store.write(mistaken)
    assert await store.write(note("next")) == "next"


async def test_effects_are_handed_out_in_the_order_of_the_commits_before_each_caller_is_answered(
    store: SqliteStore, effects: Effects
) -> None:
    known_at_answer: dict[str, list[object]] = {}

    async def ask(text: str) -> None:
        await store.write(note(text))
        known_at_answer[text] = list(effects)

    texts = [str(number) for number in range(200)]  # several groups
    await asyncio.gather(*map(ask, texts))
    assert effects == texts
    assert all(text in known for text, known in known_at_answer.items())


async def test_a_handler_of_effects_that_fails_leaves_nobody_without_an_answer(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(effects: list[Effect]) -> None:
        raise ValueError(effects)

    monkeypatch.setattr(store, "_on_effects", fail)
    gate = Gate()
    answers: list[Future[Any]] = [store.write(gate), store.write(note("first")), store.write(note("second"))]
    gate.open.set()
    async with asyncio.timeout(PATIENCE):
        assert await asyncio.gather(*answers) == [None, "first", "second"]


async def test_shoppers_go_before_claims_and_receipts(store: SqliteStore, effects: Effects) -> None:
    gate = Gate()
    answers: list[Future[Any]] = [
        store.write(gate),
        store.write(note("claim"), hurry=False),
        store.write(note("receipt"), hurry=False),
        store.write(note("scan")),
        store.write(note("payment")),
    ]
    gate.open.set()
    await asyncio.gather(*answers)
    assert effects == ["scan", "payment", "claim", "receipt"]


async def test_cancelling_the_caller_does_not_cancel_the_work(store: SqliteStore, effects: Effects) -> None:
    gate = Gate()
    gating, cancelled = store.write(gate), store.write(note("on its way"))
    cancelled.cancel()
    gate.open.set()
    await gating
    assert await store.write(note("later")) == "later"
    assert effects == ["on its way", "later"]
    assert await store.read(notes) == ["on its way", "later"]


@pytest.mark.usefixtures("patient")
async def test_a_group_has_at_most_so_many_members(store: SqliteStore) -> None:
    seen, go_on, installed = commits(store)
    go_on.set()
    await installed
    seen.clear()
    gate = Gate()
    answers: list[Future[Any]] = [
        store.write(gate),
        *(store.write(note(str(number))) for number in range(2 * sqlite.GROUP - 1)),
    ]
    gate.open.set()
    await asyncio.gather(*answers)
    assert seen == ["BEGIN", "COMMIT"] * 2


async def test_a_group_that_has_taken_its_time_commits_without_waiting_for_more(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, go_on, installed = commits(store)
    go_on.set()
    await installed
    seen.clear()
    monkeypatch.setattr(sqlite, "GROUP_SECONDS", -1.0)
    gate = Gate()
    answers: list[Future[Any]] = [store.write(gate), store.write(note("next group"))]
    gate.open.set()
    await asyncio.gather(*answers)
    assert seen == ["BEGIN", "COMMIT"] * 2


async def test_too_much_to_do_is_said_at_once(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "WAITING", 2)
    started, gate = threading.Event(), Gate()

    def occupy(tx: Transaction) -> None:
        started.set()
        gate(tx)

    occupied = store.write(occupy)
    await until(started.is_set)
    waiting = [store.write(note("hurry")), store.write(note("later"), hurry=False)]
    refused = store.write(note("too much"))
    assert refused.done()  # while the writer is still busy
    with pytest.raises(Unavailable) as refusal:
        await refused
    assert (refusal.value.code, refusal.value.retry_after) == ("overloaded", 2)
    gate.open.set()
    assert await asyncio.gather(occupied, *waiting) == [None, "hurry", "later"]


async def test_closing_finishes_what_was_handed_over_and_takes_no_more(store: SqliteStore, effects: Effects) -> None:
    gate = Gate()
    gating, last = store.write(gate), store.write(note("last"), hurry=False)
    closing = asyncio.create_task(store.close())
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="stopping"):
        await store.write(note("too late"))
    with pytest.raises(Unavailable, match="stopping"):
        await store.read(notes)
    gate.open.set()
    await closing
    assert gating.done()
    assert last.result() == "last"  # answered before close() returned
    assert effects == ["last"]
