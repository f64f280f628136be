"""Walks the transition table: every event in every phase does what the table says, and a refusal changes nothing."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from duckycart.errors import Conflict, Refusal
from duckycart.lifecycle.carts import lock_with_phase
from duckycart.lifecycle.payments import create_payment
from duckycart.lifecycle.sessions import end_if_idle, end_session
from duckycart.lifecycle.transitions import TABLE, Event, Phase, To, decide
from tests.lifecycle.counter import MONA, OMAR, RULES, Counter

MILK_PRICE = 1250


@dataclass
class Scene:
    """A cart brought into a phase, with a session (perhaps over) and a payment (perhaps closed)."""

    session_id: int
    payment_id: int


async def available(counter: Counter) -> Scene:
    scene = await asking(counter)
    await counter.force_end(scene.session_id)
    return scene


async def shopping(counter: Counter) -> Scene:
    scene = await asking(counter)
    await counter.fail_payment(scene.payment_id)
    return scene


async def asking(counter: Counter) -> Scene:
    session_id = await counter.start()
    await counter.add(session_id)
    return Scene(session_id, (await counter.begin_payment(session_id)).id)


async def held(counter: Counter) -> Scene:
    scene = await asking(counter)
    await counter.open_payment(scene.payment_id)
    return scene


async def unpaid(counter: Counter) -> Scene:
    scene = await held(counter)
    await counter.close_payment(scene.payment_id)
    return scene


BRING_INTO: dict[Phase, Callable[[Counter], Awaitable[Scene]]] = {
    Phase.AVAILABLE: available,
    Phase.SHOPPING: shopping,
    Phase.ASKING: asking,
    Phase.HELD: held,
    Phase.UNPAID: unpaid,
}


async def _scan(counter: Counter, scene: Scene) -> object:
    qr_round = await counter.do(lambda tx: lock_with_phase(tx, 1).cart.qr_round)
    return await counter.create_session(qr_round, OMAR)


async def _empty_and_end(counter: Counter, scene: Scene) -> object:
    return await counter.do(lambda tx: end_session(tx, MONA, scene.session_id, RULES))


async def _idle(counter: Counter, scene: Scene) -> object:
    counter.clock.move(RULES.idle_seconds + 1)
    ended = await counter.do(lambda tx: end_if_idle(tx, scene.session_id, 1, RULES))
    if ended is None:
        raise _refusal(Event.END_IDLE, await counter.phase())()
    return ended


def _refusal(event: Event, phase: Phase) -> Refusal[Conflict]:
    entry = TABLE[event][phase]
    assert isinstance(entry, Refusal)
    return entry


async def _begin(counter: Counter, scene: Scene) -> object:
    return await counter.do(lambda tx: create_payment(tx, MONA, scene.session_id, "test", None, RULES))


FIRE: dict[Event, Callable[[Counter, Scene], Awaitable[object]]] = {
    Event.GET_QR: lambda counter, scene: counter.get_qr(),
    Event.CREATE_SESSION: _scan,
    Event.CHANGE_BASKET: lambda counter, scene: counter.add(scene.session_id),
    Event.BEGIN_PAYMENT: _begin,
    Event.OPEN_PAYMENT: lambda counter, scene: counter.open_payment(scene.payment_id),
    Event.FAIL_PAYMENT: lambda counter, scene: counter.fail_payment(scene.payment_id),
    Event.CLOSE_PAYMENT: lambda counter, scene: counter.close_payment(scene.payment_id),
    Event.SETTLE_PAYMENT: lambda counter, scene: counter.settle(scene.payment_id, MILK_PRICE),
    Event.END_BY_SHOPPER: _empty_and_end,
    Event.END_IDLE: _idle,
    Event.END_BY_FORCE: lambda counter, scene: counter.force_end(scene.session_id),
}

ENDS_AN_EMPTY_BASKET = (Event.END_BY_SHOPPER, Event.END_IDLE)


def test_the_table_has_an_entry_for_every_event_in_every_phase() -> None:
    assert set(TABLE) == set(Event)
    assert all(set(row) == set(Phase) for row in TABLE.values())


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("event", Event)
async def test_every_event_in_every_phase_does_what_the_table_says(
    counter: Counter, event: Event, phase: Phase
) -> None:
    if event in ENDS_AN_EMPTY_BASKET and phase is Phase.SHOPPING:
        scene = Scene(await counter.start(), 0)
    else:
        scene = await BRING_INTO[phase](counter)
    assert await counter.phase() is phase
    before, said = await counter.snapshot(), len(counter.queued())
    entry = TABLE[event][phase]

    if isinstance(entry, Refusal):
        with pytest.raises(Conflict) as refused:
            await FIRE[event](counter, scene)
        assert refused.value.refusal is entry
        after = await counter.snapshot()
        if event is Event.END_IDLE:  # the one that tells an operator when it leaves a session alone
            for table in ("alarms", "sessions"):
                before.pop(table), after.pop(table)
        assert after == before
        assert counter.queued()[said:] == []
    else:
        await FIRE[event](counter, scene)
        assert await counter.phase() is entry.phase
        assert counter.queued()[said:] == ([entry.command.value] if entry.command else [])


async def test_a_failed_second_payment_leads_back_to_unpaid_because_the_cart_still_holds(counter: Counter) -> None:
    scene = await unpaid(counter)
    again = await counter.begin_payment(scene.session_id)
    await counter.fail_payment(again.id)
    assert await counter.phase() is Phase.UNPAID


def test_decide_names_the_reason_of_a_refusal() -> None:
    assert decide(Event.GET_QR, Phase.AVAILABLE) == To(Phase.AVAILABLE, TABLE[Event.GET_QR][Phase.AVAILABLE].command)  # type: ignore[union-attr]
    with pytest.raises(Conflict, match="in use"):
        decide(Event.GET_QR, Phase.SHOPPING)
