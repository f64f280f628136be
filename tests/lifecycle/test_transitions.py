"""Walks the transition table: every event in every phase does what the table says, and a refusal changes nothing."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from duckycart.errors import Conflict, Refusal
from duckycart.lifecycle.carts import lock_with_phase
from duckycart.lifecycle.payments import create_payment
from duckycart.lifecycle.sessions import end_if_idle, end_session
from duckycart.lifecycle.transitions import TABLE, Event, Phase, To, decide
from tests.lifecycle.cart_in_store import MONA, OMAR, RULES, CartInStore

MILK_PRICE = 1250


@dataclass
class Scene:
    """A cart brought into a phase, with a session (perhaps over) and a payment (perhaps closed)."""

    session_id: int
    payment_id: int


async def available(cart: CartInStore) -> Scene:
    scene = await asking(cart)
    await cart.force_end(scene.session_id)
    return scene


async def shopping(cart: CartInStore) -> Scene:
    scene = await asking(cart)
    await cart.fail_payment(scene.payment_id)
    return scene


async def asking(cart: CartInStore) -> Scene:
    session_id = await cart.start()
    await cart.add(session_id)
    return Scene(session_id, (await cart.begin_payment(session_id)).id)


async def held(cart: CartInStore) -> Scene:
    scene = await asking(cart)
    await cart.open_payment(scene.payment_id)
    return scene


async def unpaid(cart: CartInStore) -> Scene:
    scene = await held(cart)
    await cart.close_payment(scene.payment_id)
    return scene


BRING_INTO: dict[Phase, Callable[[CartInStore], Awaitable[Scene]]] = {
    Phase.AVAILABLE: available,
    Phase.SHOPPING: shopping,
    Phase.ASKING: asking,
    Phase.HELD: held,
    Phase.UNPAID: unpaid,
}


async def _scan(cart: CartInStore, scene: Scene) -> object:
    qr_round = await cart.do(lambda tx: lock_with_phase(tx, 1).cart.qr_round)
    return await cart.create_session(qr_round, OMAR)


async def _empty_and_end(cart: CartInStore, scene: Scene) -> object:
    return await cart.do(lambda tx: end_session(tx, MONA, scene.session_id, RULES))


async def _idle(cart: CartInStore, scene: Scene) -> object:
    cart.clock.move(RULES.idle_seconds + 1)
    ended = await cart.do(lambda tx: end_if_idle(tx, scene.session_id, 1, RULES))
    if ended is None:
        raise _refusal(Event.END_IDLE, await cart.phase())()
    return ended


def _refusal(event: Event, phase: Phase) -> Refusal[Conflict]:
    entry = TABLE[event][phase]
    assert isinstance(entry, Refusal)
    return entry


async def _begin(cart: CartInStore, scene: Scene) -> object:
    return await cart.do(lambda tx: create_payment(tx, MONA, scene.session_id, "test", None, RULES))


FIRE: dict[Event, Callable[[CartInStore, Scene], Awaitable[object]]] = {
    Event.GET_QR: lambda cart, scene: cart.get_qr(),
    Event.CREATE_SESSION: _scan,
    Event.CHANGE_BASKET: lambda cart, scene: cart.add(scene.session_id),
    Event.BEGIN_PAYMENT: _begin,
    Event.OPEN_PAYMENT: lambda cart, scene: cart.open_payment(scene.payment_id),
    Event.FAIL_PAYMENT: lambda cart, scene: cart.fail_payment(scene.payment_id),
    Event.CLOSE_PAYMENT: lambda cart, scene: cart.close_payment(scene.payment_id),
    Event.SETTLE_PAYMENT: lambda cart, scene: cart.settle(scene.payment_id, MILK_PRICE),
    Event.END_BY_SHOPPER: _empty_and_end,
    Event.END_IDLE: _idle,
    Event.END_BY_FORCE: lambda cart, scene: cart.force_end(scene.session_id),
}

ENDS_AN_EMPTY_BASKET = (Event.END_BY_SHOPPER, Event.END_IDLE)


def test_the_table_has_an_entry_for_every_event_in_every_phase() -> None:
    assert set(TABLE) == set(Event)
    assert all(set(row) == set(Phase) for row in TABLE.values())


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("event", Event)
async def test_every_event_in_every_phase_does_what_the_table_says(
    cart: CartInStore, event: Event, phase: Phase
) -> None:
    if event in ENDS_AN_EMPTY_BASKET and phase is Phase.SHOPPING:
        scene = Scene(await cart.start(), 0)
    else:
        scene = await BRING_INTO[phase](cart)
    assert await cart.phase() is phase
    before, said = await cart.snapshot(), len(cart.queued())
    entry = TABLE[event][phase]

    if isinstance(entry, Refusal):
        with pytest.raises(Conflict) as refused:
            await FIRE[event](cart, scene)
        assert refused.value.refusal is entry
        after = await cart.snapshot()
        if event is Event.END_IDLE:  # the one that tells an operator when it leaves a session alone
            for table in ("alarms", "sessions"):
                before.pop(table), after.pop(table)
        assert after == before
        assert cart.queued()[said:] == []
    else:
        await FIRE[event](cart, scene)
        assert await cart.phase() is entry.phase
        assert cart.queued()[said:] == ([entry.command.value] if entry.command else [])


async def test_a_failed_second_payment_leads_back_to_unpaid_because_the_cart_still_holds(cart: CartInStore) -> None:
    scene = await unpaid(cart)
    again = await cart.begin_payment(scene.session_id)
    await cart.fail_payment(again.id)
    assert await cart.phase() is Phase.UNPAID


def test_decide_names_the_reason_of_a_refusal() -> None:
    assert decide(Event.GET_QR, Phase.AVAILABLE) == To(Phase.AVAILABLE, TABLE[Event.GET_QR][Phase.AVAILABLE].command)  # type: ignore[union-attr]
    with pytest.raises(Conflict, match="in use"):
        decide(Event.GET_QR, Phase.SHOPPING)
