"""Nodes whose clocks disagree by minutes are told so, and agree on what is over all the same (F50, F51)."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest
from structlog.testing import capture_logs

from duckycart.nodes.clocks import AGAIN_SECONDS, Disagreements
from duckycart.testing.clock import ManualClock
from tests.admin.test_sessions import shell
from tests.corrections.world import HOURS, guest, here, keyed_add, settle, units
from tests.nodes.world import Chain, heartbeat, open_node
from tests.ports import free_port

APART = 600


@pytest.fixture
async def apart(postgres_database: str) -> AsyncIterator[Chain]:
    """Nodes a and b on two machines; the clock of b is ten minutes behind, and b has been running for a while."""
    bus = f"nats://127.0.0.1:{free_port()}"
    clocks = ManualClock(), ManualClock()
    clocks[1].boot("another machine")
    clocks[1].correct(-APART)
    async with AsyncExitStack() as stack:
        a, b = [
            await stack.enter_async_context(
                open_node(postgres_database, bus, name, clock=clock, offline_carts="accept", address_per_minute=10_000)
            )
            for name, clock in zip("ab", clocks, strict=True)
        ]
        chain = Chain(a, b, hurried=False)
        await a.furnish()
        await a.add_cart(2)
        b.keys = a.keys
        await chain.beat()
        yield chain


async def passes(chain: Chain, seconds: float) -> None:
    chain.move(seconds)
    await chain.beat()
    for node in (chain.b, chain.a):
        await settle(node)


def warnings(logs: Sequence[Mapping[str, Any]]) -> list[tuple[str, int]]:
    """(who the other one is, by how many seconds the one that says it is ahead) of each."""
    return [(log["other"][0], log["ahead_of_it"]) for log in logs if log["event"].startswith("clocks disagree")]


async def test_f50_f51_nodes_that_disagree_agree_on_what_is_over(apart: Chain) -> None:
    a, b = apart.a, apart.b
    headers, session_id = await guest(a)
    payment = (await b.create_payment(session_id, headers)).json()
    mona = await b.shopper()
    empty = await b.start(mona, 2)
    await passes(apart, 1)
    assert await units(b, session_id, headers) == 1
    assert [row.state for row in await a.payment_rows(session_id)] == ["open"]
    await b.press(here(b, payment["payment_url"]))
    assert (await a.session_row(session_id)).end_reason == "paid"
    qr = await a.qr()
    await passes(apart, a.inside.settings.qr_seconds - 1)
    assert (await b.http.post("/auth/guest", json={"token": qr})).status_code == 200
    await passes(apart, 1)
    assert [(await node.http.post("/auth/guest", json={"token": qr})).status_code for node in (a, b)] == [410, 410]
    await passes(apart, a.inside.settings.idle_seconds - a.inside.settings.qr_seconds - 1)
    assert (await a.session_row(empty)).is_active
    await passes(apart, 1)
    assert (await a.session_row(empty)).end_reason == "idle"


async def test_f50_f51_a_node_whose_clock_is_set_goes_on_agreeing(apart: Chain) -> None:
    a, b = apart.a, apart.b
    headers, session_id = await guest(a)
    first = await keyed_add(b, session_id)
    b.clock.correct(13 * HOURS)
    await passes(apart, 1)
    assert (await keyed_add(a, session_id)).json() == first.json()
    assert await units(b, session_id, headers) == 2
    assert await b.alarm_kinds() == []


async def test_f50_f51_a_machine_that_stood_still_catches_up_with_the_others(apart: Chain) -> None:
    """Its uptime knows nothing of it: it was a virtual machine, say."""
    apart.a.clock.move(3600)
    await apart.beat()
    await apart.beat()
    readings = [node.inside.clock.steady() for node in (apart.a, apart.b)]
    assert readings[0] == readings[1]
    apart.b.clock.move(7)
    await apart.beat()
    assert apart.a.inside.clock.steady() == readings[0] + 7000


async def test_f50_f51_nodes_whose_clocks_disagree_are_told_so(apart: Chain) -> None:
    with capture_logs() as logs:
        await apart.beat()
        assert warnings(logs) == [], "said when they met, and not again at each beat"
        apart.b.clock.correct(-60)
        await apart.beat()
        assert sorted(warnings(logs)) == [("a", -APART - 60), ("b", APART + 60)]
        logs.clear()
        apart.move(AGAIN_SECONDS)
        await apart.beat()
        assert len(warnings(logs)) == 2
        logs.clear()
        apart.b.clock.correct(APART + 60)
        await apart.beat()
        await apart.beat()
        assert warnings(logs) == []


async def test_f50_f51_an_operator_sees_which_clock_is_wrong(apart: Chain) -> None:
    await apart.beat()
    code, listed = await shell(apart.a, "nodes")
    assert code == 0
    ahead = {one["node"][0]: one["clock_ahead"] for one in listed["nodes"]}
    assert round(ahead["a"] - ahead["b"]) == APART


def test_f50_what_nobody_knows_is_not_said() -> None:
    with capture_logs() as logs:
        clocks = Disagreements(lambda: 0.0)
        clocks.compare(None, {"b": 60_000})
        clocks.compare(60_000, {"b": None})
        clocks.compare(60_000, {"b": 56_000})
    assert logs == []


async def test_f51_the_only_node_that_starts_anew_goes_on_where_the_last_one_stood(postgres_database: str) -> None:
    bus = f"nats://127.0.0.1:{free_port()}"
    clock = ManualClock()
    async with open_node(postgres_database, bus, "a", clock=clock) as a:
        clock.move(100)
        await heartbeat(a)
        stood = a.inside.clock.steady()
    other = ManualClock()
    other.boot("another machine")
    other.correct(13 * HOURS)
    async with open_node(postgres_database, bus, "b", clock=other) as b:
        assert b.inside.clock.steady() == stood
