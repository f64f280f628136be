"""Money: settled once, for the right amount, whatever the provider and the network do."""

import asyncio
from typing import Any

import pytest

from duckycart.effects import Queued
from duckycart.hardware.dispatch import Dispatch
from duckycart.lifecycle import sessions, webhooks
from duckycart.lifecycle.access import ByOperator
from duckycart.lifecycle.sessions import force_end
from duckycart.payments import checkout
from duckycart.store.tables import provider_events
from duckycart.testing.furnish import BREAD, MILK
from duckycart.testing.waiting import until
from tests.conftest import OpenShop
from tests.payments.acquirer import MILK_PRICE, Acquirer, state, types
from tests.world import Shop


async def test_f09_a_repeated_paid_webhook_never_settles_again(
    shop: Shop, acquirer: Acquirer, shopper: dict[str, str], session_id: int
) -> None:
    await shop.create_payment(session_id, shopper)
    first = await acquirer.say(shop, "succeeded", ref=acquirer.ref, amount=MILK_PRICE, id="evt-paid")
    assert first.json() == {"outcome": "settled"}
    # The next shopper has the cart when the provider repeats itself, with the same event and with a new one.
    next_session = await shop.start(await shop.shopper("omar@example.com"))
    same = await acquirer.say(shop, "succeeded", ref=acquirer.ref, amount=MILK_PRICE, id="evt-paid")
    another = await acquirer.say(shop, "succeeded", ref=acquirer.ref, amount=MILK_PRICE)
    assert (same.status_code, same.json()) == (200, {"outcome": "repeated"})
    assert (another.status_code, another.json()) == (200, {"outcome": "repeated"})
    assert (await shop.cart_row()).session_id == next_session
    assert (await types(shop)).count("end_session") == 1
    assert await shop.alarm_kinds() == []


@pytest.mark.parametrize("outcome", ["refunded", "declined", "pending"])
async def test_f10_every_outcome_is_handled_and_unknown_ones_are_kept(
    shop: Shop, acquirer: Acquirer, shopper: dict[str, str], session_id: int, outcome: str
) -> None:
    await shop.create_payment(session_id, shopper)
    answer = await acquirer.say(shop, outcome, ref=acquirer.ref, extra={"deep": [1, None]})
    assert answer.status_code == 200
    assert await state(shop, session_id) == ["open"]
    paid = await acquirer.say(shop, "succeeded", ref=acquirer.ref, amount=MILK_PRICE)
    assert paid.json() == {"outcome": "settled"}
    assert len(await shop.rows(provider_events.select())) == 2


async def test_f10_a_payment_nobody_knows_is_kept_and_an_operator_is_told(shop: Shop, acquirer: Acquirer) -> None:
    answer = await acquirer.say(shop, "succeeded", ref="from-elsewhere", amount=1)
    assert (answer.status_code, answer.json()) == (200, {"outcome": "unknown_payment"})
    assert await shop.alarm_kinds() == ["unknown_payment_paid"]


async def test_f15_a_slow_provider_holds_up_nobody_else(
    shop: Shop, acquirer: Acquirer, shopper: dict[str, str], session_id: int
) -> None:
    await shop.add_cart(2)
    acquirer.answering.clear()
    asking = asyncio.create_task(shop.create_payment(session_id, shopper))
    await until(lambda: acquirer.calls)
    async with shop.cart(2):
        await shop.online(2)
        other = await shop.start(await shop.shopper("omar@example.com"), 2)
        assert (await shop.add(other, BREAD, 2)).status_code == 200
    assert not asking.done()
    acquirer.answering.set()
    assert (await asking).json()["status"] == "open"


async def test_f15_a_provider_that_never_answers_is_given_up(opening: OpenShop, acquirer: Acquirer) -> None:
    async with opening(provider=acquirer, provider_seconds=0.05) as shop:
        await shop.furnish()
        shopper = await shop.shopper()
        async with shop.cart():
            await shop.online()
            session_id = await shop.start(shopper)
            await shop.add(session_id)
            acquirer.answering.clear()
            answer = await shop.create_payment(session_id, shopper)
            assert (answer.status_code, answer.json()["code"]) == (502, "provider_failed")
            assert await types(shop) == ["generate_qr", "session_started"]
            # It may have the payment all the same.
            assert (await shop.add(session_id, BREAD)).json()["code"] == "basket_frozen"
            acquirer.answering.set()
            assert (await shop.create_payment(session_id, shopper)).json()["status"] == "open"
            assert len(acquirer.payments) == 1


async def test_a_failed_provider_sends_nothing_and_frees_the_basket(
    shop: Shop, acquirer: Acquirer, shopper: dict[str, str], session_id: int
) -> None:
    acquirer.fails = True
    answer = await shop.create_payment(session_id, shopper)
    assert (answer.status_code, answer.json()["code"]) == (502, "provider_failed")
    assert "acquirer is down" not in answer.text
    assert await state(shop, session_id) == ["failed"]
    assert await types(shop) == ["generate_qr", "session_started"]
    assert (await shop.add(session_id, BREAD)).status_code == 200
    acquirer.fails = False
    assert (await shop.create_payment(session_id, shopper)).json()["amount"] == 17.5


async def test_f17_the_basket_is_frozen_from_the_first_payment_to_the_end(
    shop: Shop, acquirer: Acquirer, shopper: dict[str, str], session_id: int
) -> None:
    await shop.create_payment(session_id, shopper)
    for answer in (await shop.add(session_id, BREAD), await shop.remove(session_id, MILK)):
        assert (answer.status_code, answer.json()["code"]) == (409, "basket_frozen")
    await acquirer.say(shop, "cancelled", ref=acquirer.ref)
    assert (await shop.add(session_id, BREAD)).json()["code"] == "basket_frozen"
    again = await shop.create_payment(session_id, shopper)
    assert again.json()["amount"] == 12.5


@pytest.mark.parametrize("said", [{"amount": 1}, {"amount": MILK_PRICE, "currency": "USD"}, {"amount": None}])
async def test_f17_another_amount_or_currency_never_settles_and_raises_an_alarm(
    shop: Shop, acquirer: Acquirer, shopper: dict[str, str], session_id: int, said: dict[str, object]
) -> None:
    await shop.create_payment(session_id, shopper)
    answer = await acquirer.say(shop, "succeeded", ref=acquirer.ref, **said)
    assert answer.json() == {"outcome": "mismatch"}
    assert await state(shop, session_id) == ["open"]
    assert (await shop.cart_row()).session_id == session_id
    assert await shop.alarm_kinds() == ["payment_mismatch"]


async def test_f35_basket_and_payment_at_once_agree_on_the_amount(
    shop: Shop, acquirer: Acquirer, shopper: dict[str, str], session_id: int
) -> None:
    adding = [asyncio.create_task(shop.add(session_id, BREAD)) for _ in range(5)]
    payment = asyncio.create_task(shop.create_payment(session_id, shopper))
    adding += [asyncio.create_task(shop.add(session_id, BREAD)) for _ in range(5)]
    added = [answer.status_code for answer in await asyncio.gather(*adding)].count(200)
    basket = (await shop.http.get(f"/cart-items/session/{session_id}", headers=shopper)).json()
    assert basket["item_count"] == 1 + added
    assert (await payment).json()["amount"] == basket["total_price"]


async def test_two_create_payments_at_once_open_one_payment_and_send_one_command(
    shop: Shop, acquirer: Acquirer, shopper: dict[str, str], session_id: int
) -> None:
    acquirer.answering.clear()
    asking = [asyncio.create_task(shop.create_payment(session_id, shopper)) for _ in range(5)]
    await until(lambda: len(acquirer.calls) == 5)
    acquirer.answering.set()
    answers = [(await task).json() for task in asking]
    assert {answer["payment_id"] for answer in answers} == {1}
    assert {answer["status"] for answer in answers} == {"open"}
    assert (await types(shop)).count("payment_created") == 1
    assert len(acquirer.payments) == 1


async def test_a_declined_attempt_leaves_the_payment_open_for_another(
    shop: Shop, acquirer: Acquirer, shopper: dict[str, str], session_id: int
) -> None:
    await shop.create_payment(session_id, shopper)
    assert (await acquirer.say(shop, "declined", ref=acquirer.ref)).json() == {"outcome": "declined"}
    assert (await acquirer.say(shop, "succeeded", ref=acquirer.ref, amount=MILK_PRICE)).json() == {"outcome": "settled"}


async def test_f37_an_expired_payment_is_over_only_when_the_provider_cancelled_it(
    shop: Shop, acquirer: Acquirer, shopper: dict[str, str], session_id: int
) -> None:
    await shop.create_payment(session_id, shopper)
    shop.clock.move(shop.inside.rules.payment_seconds + 1)
    acquirer.cancel_fails = True
    await shop.inside.checkout.reconcile()
    assert await state(shop, session_id) == ["open"]
    acquirer.cancel_fails = False
    await shop.inside.checkout.reconcile()
    assert await state(shop, session_id) == ["cancelled"]
    assert acquirer.payments[acquirer.ref] == "cancelled"
    # The hold stays, and another payment may be created; the cart is told again.
    again = (await shop.create_payment(session_id, shopper)).json()
    assert again["payment_id"] == 2
    assert (await types(shop)).count("payment_created") == 2


async def test_f37_a_success_while_we_cancel_is_not_lost(
    shop: Shop, acquirer: Acquirer, shopper: dict[str, str], session_id: int
) -> None:
    await shop.create_payment(session_id, shopper)
    acquirer.payments[acquirer.ref] = "paid"  # its webhook is still on the way
    shop.clock.move(shop.inside.rules.payment_seconds + 1)
    await shop.inside.checkout.reconcile()
    assert await state(shop, session_id) == ["open"]
    answer = await acquirer.say(shop, "succeeded", ref=acquirer.ref, amount=MILK_PRICE)
    assert answer.json() == {"outcome": "settled"}


async def test_f37_a_late_success_settles_if_it_still_fits(
    shop: Shop, acquirer: Acquirer, shopper: dict[str, str], session_id: int
) -> None:
    await shop.create_payment(session_id, shopper)
    old = acquirer.ref
    await acquirer.say(shop, "cancelled", ref=old)
    await shop.create_payment(session_id, shopper)
    answer = await acquirer.say(shop, "succeeded", ref=old, amount=MILK_PRICE)
    assert answer.json() == {"outcome": "settled"}
    assert (await shop.session_row(session_id)).end_reason == "paid"
    # The other one must not be paid as well: it is cancelled at the provider.
    await shop.inside.checkout.reconcile()
    assert acquirer.payments[acquirer.ref] == "cancelled"
    assert await state(shop, session_id) == ["paid", "cancelled"]


async def test_f37_a_late_success_that_fits_nothing_is_recorded_with_an_alarm(
    shop: Shop, acquirer: Acquirer, shopper: dict[str, str], session_id: int
) -> None:
    await shop.create_payment(session_id, shopper)
    old = acquirer.ref
    await acquirer.say(shop, "cancelled", ref=old)
    await shop.create_payment(session_id, shopper)
    await acquirer.say(shop, "succeeded", ref=acquirer.ref, amount=MILK_PRICE)
    late = await acquirer.say(shop, "succeeded", ref=old, amount=MILK_PRICE)
    assert late.json() == {"outcome": "paid_extra"}
    assert await state(shop, session_id) == ["paid_extra", "paid"]
    assert await shop.alarm_kinds() == ["paid_extra"]
    assert (await types(shop)).count("end_session") == 1


async def test_a_payment_left_in_creating_by_a_crash_is_taken_up_again(
    shop: Shop, acquirer: Acquirer, shopper: dict[str, str], session_id: int
) -> None:
    def crashed(*_: object) -> None:
        raise KeyError("the process dies here")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkout, "open_payment", crashed)
        assert (await shop.create_payment(session_id, shopper)).status_code == 500
    assert await state(shop, session_id) == ["creating"]
    assert (await shop.add(session_id, BREAD)).json()["code"] == "basket_frozen"
    await shop.inside.checkout.reconcile()
    assert await state(shop, session_id) == ["creating"]  # somebody may still be at it
    shop.clock.move(checkout.ASKING_SECONDS + 1)
    await shop.inside.checkout.reconcile()
    assert await state(shop, session_id) == ["open"]
    assert (await types(shop)).count("payment_created") == 1
    assert len(acquirer.payments) == 1


async def test_a_webhook_quicker_than_our_own_commit_settles_and_the_answer_says_so(
    shop: Shop, acquirer: Acquirer, shopper: dict[str, str], session_id: int
) -> None:
    acquirer.answering.clear()
    asking = asyncio.create_task(shop.create_payment(session_id, shopper))
    token = (await until(lambda: shop.payment_rows(session_id)))[0].token
    answer = await acquirer.say(shop, "succeeded", ref=token, amount=MILK_PRICE)
    assert answer.json() == {"outcome": "settled"}
    acquirer.payments.pop(token)
    acquirer.answering.set()
    assert (await asking).json()["status"] == "paid"
    assert await types(shop) == ["generate_qr", "session_started", "end_session"]


async def test_a_session_ended_while_the_provider_was_asked_leaves_nothing_payable(
    shop: Shop, acquirer: Acquirer, shopper: dict[str, str], session_id: int
) -> None:
    acquirer.answering.clear()
    asking = asyncio.create_task(shop.create_payment(session_id, shopper))
    await until(lambda: acquirer.calls)
    await shop.inside.store.write(lambda tx: force_end(tx, ByOperator(1), session_id, shop.inside.rules))
    acquirer.answering.set()
    assert (await asking).status_code == 409
    assert acquirer.payments[acquirer.ref] == "cancelled"
    assert await state(shop, session_id) == ["cancelled"]
    assert "payment_created" not in await types(shop)


async def test_an_open_payment_of_a_session_ended_by_force_is_cancelled_at_the_provider(
    shop: Shop, acquirer: Acquirer, shopper: dict[str, str], session_id: int
) -> None:
    await shop.create_payment(session_id, shopper)
    await shop.inside.store.write(lambda tx: force_end(tx, ByOperator(1), session_id, shop.inside.rules))
    await shop.housekeeping()
    assert acquirer.payments[acquirer.ref] == "cancelled"
    assert await state(shop, session_id) == ["cancelled"]


async def test_f16_a_start_that_fails_half_way_leaves_nothing(
    shop: Shop, shopper: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await shop.qr()

    def fails(*_: object) -> int:
        raise KeyError("half way")

    with monkeypatch.context() as patch:
        patch.setattr(sessions, "queue_command", fails)
        assert (await shop.scan(token, shopper)).status_code == 500
    row = await shop.cart_row()
    assert (row.status, row.session_id) == ("available", None)
    assert (await shop.scan(token, shopper)).status_code == 200


async def test_f40_an_abandoned_empty_session_ends_and_frees_cart_and_shopper(
    shop: Shop, shopper: dict[str, str]
) -> None:
    session_id = await shop.start(shopper)
    shop.clock.move(shop.inside.rules.idle_seconds + 1)
    await shop.housekeeping()
    assert (await shop.session_row(session_id)).end_reason == "idle"
    assert (await types(shop))[-1] == "end_session"
    assert await shop.start(shopper) != session_id


async def test_f40_an_abandoned_full_basket_is_reported_once_and_kept(
    shop: Shop, shopper: dict[str, str], session_id: int
) -> None:
    for _ in range(2):
        shop.clock.move(shop.inside.rules.idle_seconds + 1)
        await shop.housekeeping()
    assert await shop.alarm_kinds() == ["session_idle"]
    assert (await shop.cart_row()).session_id == session_id
    await shop.add(session_id)
    shop.clock.move(shop.inside.rules.idle_seconds + 1)
    await shop.housekeeping()
    assert await shop.alarm_kinds() == ["session_idle", "session_idle"]


async def test_f40_a_shopper_who_comes_back_in_time_keeps_the_session(
    shop: Shop, shopper: dict[str, str], session_id: int
) -> None:
    shop.clock.move(shop.inside.rules.idle_seconds - 1)
    await shop.remove(session_id)
    shop.clock.move(2)
    await shop.housekeeping()
    assert (await shop.session_row(session_id)).is_active


async def test_f13_the_client_is_answered_after_the_commit_and_after_the_command(
    shop: Shop, acquirer: Acquirer, shopper: dict[str, str], session_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    queued = Dispatch.queued

    def recording(*arguments: Any) -> str:
        order.append("transaction")
        return webhooks.record_event(*arguments)

    def dispatching(dispatch: Dispatch, effect: Queued) -> None:
        order.append("command")
        queued(dispatch, effect)

    monkeypatch.setattr(checkout, "record_event", recording)
    monkeypatch.setattr(Dispatch, "queued", dispatching)
    await shop.create_payment(session_id, shopper)
    order.clear()
    answer = await acquirer.say(shop, "succeeded", ref=acquirer.ref, amount=MILK_PRICE)
    order.append("answer")
    assert answer.json() == {"outcome": "settled"}
    assert order == ["transaction", "command", "answer"]
    assert not (await shop.session_row(session_id)).is_active
