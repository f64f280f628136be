"""A provider whose answer does not come, or comes late, has not refused: the payment may be alive there."""

import asyncio

import pytest

from duckycart.lifecycle.access import ByOperator
from duckycart.lifecycle.sessions import force_end
from duckycart.payments.checkout import ASKING_SECONDS
from duckycart.providers.protocol import NoAnswer
from duckycart.store.tables import provider_events
from duckycart.testing.furnish import BREAD
from duckycart.testing.waiting import until
from tests.payments.acquirer import MILK_PRICE, Acquirer, state, types
from tests.world import Shop


async def lose_the_answer(shop: Shop, acquirer: Acquirer, shopper: dict[str, str], session_id: int) -> None:
    """The acquirer has the payment, and the shopper was told that it failed."""
    acquirer.answer_lost = NoAnswer("the connection broke")
    assert (await shop.create_payment(session_id, shopper)).status_code == 502
    acquirer.answer_lost = None


async def end_by_force(shop: Shop, session_id: int) -> None:
    await shop.inside.store.write(lambda tx: force_end(tx, ByOperator(1), session_id, shop.inside.rules))


@pytest.mark.parametrize(
    "lost", [NoAnswer("the answer made no sense"), ConnectionResetError(), TimeoutError()], ids=repr
)
async def test_f37_a_payment_without_an_answer_is_asked_for_again_and_not_replaced(
    shop: Shop, acquirer: Acquirer, shopper: dict[str, str], session_id: int, lost: Exception
) -> None:
    acquirer.answer_lost = lost
    answer = await shop.create_payment(session_id, shopper)
    assert (answer.status_code, answer.json()["code"]) == (502, "provider_failed")
    assert await state(shop, session_id) == ["creating"]
    assert (await shop.add(session_id, BREAD)).json()["code"] == "basket_frozen"
    assert "payment_created" not in await types(shop)
    acquirer.answer_lost = None
    again = (await shop.create_payment(session_id, shopper)).json()
    assert (again["payment_id"], again["status"]) == (1, "open")
    assert len(acquirer.payments) == 1
    assert (await acquirer.say(shop, "succeeded", ref=acquirer.ref, amount=MILK_PRICE)).json() == {"outcome": "settled"}


async def test_a_payment_without_an_answer_is_opened_for_a_shopper_who_only_waits(
    shop: Shop, acquirer: Acquirer, shopper: dict[str, str], session_id: int
) -> None:
    await lose_the_answer(shop, acquirer, shopper, session_id)
    shop.clock.move(ASKING_SECONDS + 1)
    await shop.housekeeping()
    assert await state(shop, session_id) == ["open"]
    assert (await types(shop))[-1] == "payment_created"


async def test_f37_a_payment_without_an_answer_that_nobody_wants_any_more_is_cancelled_at_the_provider(
    shop: Shop, acquirer: Acquirer, shopper: dict[str, str], session_id: int
) -> None:
    await lose_the_answer(shop, acquirer, shopper, session_id)
    await end_by_force(shop, session_id)
    await shop.housekeeping()
    assert acquirer.payments[acquirer.ref] == "cancelled"
    assert await state(shop, session_id) == ["cancelled"]


async def test_a_payment_that_nobody_wants_and_the_provider_refuses_is_not_asked_for_for_ever(
    shop: Shop, acquirer: Acquirer, shopper: dict[str, str], session_id: int
) -> None:
    await lose_the_answer(shop, acquirer, shopper, session_id)
    await end_by_force(shop, session_id)
    acquirer.fails = True
    await shop.housekeeping()
    assert await state(shop, session_id) == ["failed"]


async def opened_after_it_failed(shop: Shop, acquirer: Acquirer, shopper: dict[str, str], session_id: int) -> None:
    """Two ask, the second is refused, and then the first is answered: what it opened cannot be cancelled now."""
    acquirer.answering.clear()
    first = asyncio.create_task(shop.create_payment(session_id, shopper))
    await until(lambda: acquirer.calls)
    acquirer.fails = acquirer.cancel_fails = True
    assert (await shop.create_payment(session_id, shopper)).status_code == 502
    acquirer.answering.set()
    assert (await first).status_code == 409
    acquirer.fails = acquirer.cancel_fails = False
    assert await state(shop, session_id) == ["failed"]
    assert list(acquirer.payments.values()) == ["open"]


async def test_f37_a_payment_that_was_opened_after_it_failed_is_cancelled_as_soon_as_it_can_be(
    shop: Shop, acquirer: Acquirer, shopper: dict[str, str], session_id: int
) -> None:
    await opened_after_it_failed(shop, acquirer, shopper, session_id)
    assert (await shop.create_payment(session_id, shopper)).json()["payment_id"] == 2
    await shop.housekeeping()
    assert list(acquirer.payments.values()) == ["cancelled", "open"]
    assert await state(shop, session_id) == ["cancelled", "open"]


async def test_f37_a_payment_that_was_opened_after_it_failed_and_is_paid_settles(
    shop: Shop, acquirer: Acquirer, shopper: dict[str, str], session_id: int
) -> None:
    await opened_after_it_failed(shop, acquirer, shopper, session_id)
    answer = await acquirer.say(shop, "succeeded", ref=acquirer.ref, amount=MILK_PRICE)
    assert answer.json() == {"outcome": "settled"}
    assert await shop.alarm_kinds() == []


async def test_f37_a_success_quicker_than_the_providers_answer_is_sent_again_and_settles_once(
    shop: Shop, acquirer: Acquirer, shopper: dict[str, str], session_id: int
) -> None:
    acquirer.answering.clear()
    asking = asyncio.create_task(shop.create_payment(session_id, shopper))
    (row,) = await until(lambda: shop.payment_rows(session_id))
    paid = {"ref": f"acq-{row.token}", "amount": MILK_PRICE, "id": "evt-paid"}
    early = await acquirer.say(shop, "succeeded", **paid)
    assert early.status_code == 503
    assert int(early.headers["retry-after"]) > 0
    assert await shop.rows(provider_events.select()) == []
    assert await shop.alarm_kinds() == []
    acquirer.answering.set()
    assert (await asking).json()["status"] == "open"
    assert (await acquirer.say(shop, "succeeded", **paid)).json() == {"outcome": "settled"}
    assert (await acquirer.say(shop, "succeeded", **paid)).json() == {"outcome": "repeated"}
    assert (await types(shop)).count("end_session") == 1


@pytest.mark.parametrize("over", [False, True], ids=["shopping", "session over"])
async def test_f37_a_success_of_a_payment_stuck_in_creating_is_not_put_off_for_ever(
    shop: Shop, acquirer: Acquirer, shopper: dict[str, str], session_id: int, over: bool
) -> None:
    await lose_the_answer(shop, acquirer, shopper, session_id)
    paid = {"ref": acquirer.ref, "amount": MILK_PRICE, "id": "evt-paid"}
    assert (await acquirer.say(shop, "succeeded", **paid)).status_code == 503
    if over:
        await end_by_force(shop, session_id)
    shop.clock.move(ASKING_SECONDS + 1)
    await shop.housekeeping()
    answer = await acquirer.say(shop, "succeeded", **paid)
    assert answer.json() == {"outcome": "paid_extra" if over else "settled"}
    assert await shop.alarm_kinds() == (["paid_extra"] if over else [])


async def test_what_others_take_with_the_same_account_does_not_wait_for_our_payments(
    shop: Shop, acquirer: Acquirer, shopper: dict[str, str], session_id: int
) -> None:
    await lose_the_answer(shop, acquirer, shopper, session_id)
    answer = await acquirer.say(shop, "succeeded", ref="from-elsewhere", amount=MILK_PRICE + 1)
    assert (answer.status_code, answer.json()) == (200, {"outcome": "unknown_payment"})


@pytest.mark.parametrize("lost", [NoAnswer("no answer within 10 s"), ConnectionResetError(), TimeoutError()], ids=repr)
async def test_f37_no_answer_to_a_cancellation_is_no_cancellation(
    shop: Shop,
    acquirer: Acquirer,
    shopper: dict[str, str],
    session_id: int,
    monkeypatch: pytest.MonkeyPatch,
    lost: Exception,
) -> None:
    """The payment may be payable still in the shopper's old tab: another one beside it would be paid twice."""
    await shop.create_payment(session_id, shopper)
    shop.clock.move(shop.inside.rules.payment_seconds + 1)

    async def cancel(ref: str) -> None:
        raise lost

    with monkeypatch.context() as patch:
        patch.setattr(acquirer, "cancel", cancel)
        await shop.housekeeping()
    assert await state(shop, session_id) == ["open"]
    again = (await shop.create_payment(session_id, shopper)).json()
    assert again["payment_id"] == 1
    assert len(acquirer.payments) == 1
    await shop.housekeeping()
    assert (await state(shop, session_id), acquirer.payments[acquirer.ref]) == (["cancelled"], "cancelled")


async def test_f37_a_payment_without_an_answer_that_expired_is_cancelled_and_never_opened(
    shop: Shop, acquirer: Acquirer, shopper: dict[str, str], session_id: int
) -> None:
    await lose_the_answer(shop, acquirer, shopper, session_id)
    shop.clock.move(shop.inside.rules.payment_seconds + 1)
    await shop.housekeeping()
    assert acquirer.payments[acquirer.ref] == "cancelled"
    assert await state(shop, session_id) == ["cancelled"]
    assert "payment_created" not in await types(shop)


async def test_f37_what_cannot_be_cancelled_now_keeps_its_name_and_is_cancelled_later(
    shop: Shop, acquirer: Acquirer, shopper: dict[str, str], session_id: int
) -> None:
    """The session ended while the provider was asked, and the provider cannot cancel just now."""
    acquirer.answering.clear()
    creating = asyncio.create_task(shop.create_payment(session_id, shopper))
    await until(lambda: "open" in acquirer.calls)
    await end_by_force(shop, session_id)
    acquirer.cancel_fails = True
    acquirer.answering.set()
    assert (await creating).status_code == 409
    (row,) = await shop.payment_rows(session_id)
    assert row.provider_ref == acquirer.ref
    acquirer.cancel_fails = False
    await shop.housekeeping()
    assert acquirer.payments[acquirer.ref] == "cancelled"
