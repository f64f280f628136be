"""F53: a basket that costs nothing goes the way of every other, with all four commands; nobody is asked for money."""

import asyncio
import json
from typing import Any

import pytest
from sqlalchemy import select

from duckycart.lifecycle.payments import FREE
from duckycart.store.tables import analytics
from duckycart.testing.furnish import MILK
from duckycart.testing.waiting import until
from tests.payments.acquirer import Acquirer, types
from tests.world import Shop

GIFT = 6221000000050
WHOLE = ["generate_qr", "session_started", "payment_created", "end_session"]


@pytest.fixture
async def gifts(shop: Shop, shopper: dict[str, str]) -> int:
    """A session whose basket holds two gifts."""
    await shop.add_product(GIFT, "Gift", 0)
    session_id = await shop.start(shopper)
    for _ in range(2):
        assert (await shop.add(session_id, GIFT)).status_code == 200
    return session_id


async def test_f53_a_free_basket_runs_through_all_four_commands_and_no_provider_is_asked(
    shop: Shop, shopper: dict[str, str], gifts: int, acquirer: Acquirer
) -> None:
    answer = await shop.create_payment(gifts, shopper)
    assert answer.status_code == 200, answer.text
    payment = answer.json()
    (row,) = await shop.payment_rows(gifts)
    assert payment == {
        "payment_id": row.id,
        "payment_url": f"{shop.url}/pay/{row.token}",
        "amount": 0,
        "currency": "EGP",
        "currency_digits": 2,
        "status": "paid",
    }
    assert answer.headers["hardware-delivery"] in ("queued", "sent", "received")
    assert await shop.settled() == ["received"] * 4
    assert await types(shop) == WHOLE
    assert acquirer.calls == []
    session = await shop.session_row(gifts)
    assert (session.is_active, session.end_reason) == (False, "paid")
    (over,) = await shop.rows(select(analytics.c.units, analytics.c.total, analytics.c.paid))
    assert tuple(over) == (2, 0, 0)
    assert (await shop.http.get(f"/payment/get-payment/{gifts}", headers=shopper)).json()["status"] == "paid"
    assert await shop.alarm_kinds() == []


async def test_f53_its_page_says_that_all_is_done(shop: Shop, shopper: dict[str, str], gifts: int) -> None:
    url = (await shop.create_payment(gifts, shopper)).json()["payment_url"]
    page = await shop.http.get(url)
    assert page.status_code == 200
    assert "Nothing to pay. Thank you!" in page.text
    assert "0.00 EGP" in page.text
    assert "<form" not in page.text
    for button in ("pay", "decline"):
        assert (await shop.press(url, button)).status_code == 303
    assert await types(shop) == WHOLE


async def test_f53_asked_again_and_at_once_it_is_one_payment_and_one_end(
    shop: Shop, shopper: dict[str, str], gifts: int
) -> None:
    answers = await asyncio.gather(*(shop.create_payment(gifts, shopper) for _ in range(5)))
    answers.append(await shop.create_payment(gifts, shopper))
    assert [answer.status_code for answer in answers] == [200] * 6
    assert len({answer.text for answer in answers}) == 1
    assert await types(shop) == WHOLE
    key = {**shopper, "Idempotency-Key": "once"}
    again = await shop.http.post(f"/payment/create-payment/{gifts}", headers=key)
    assert again.json() == answers[0].json()


async def test_f53_a_webhook_cannot_touch_it(
    shop: Shop, shopper: dict[str, str], gifts: int, acquirer: Acquirer
) -> None:
    await shop.create_payment(gifts, shopper)
    (before,) = await shop.payment_rows(gifts)
    for outcome in ("succeeded", "declined", "cancelled"):
        answer = await acquirer.say(shop, outcome, ref=before.token, amount=1)
        assert answer.json() == {"outcome": "unknown_payment"}
    assert (await shop.http.post(f"/payment/webhook/{FREE}", content=b"{}")).status_code == 404
    await shop.housekeeping()
    assert [tuple(row) for row in await shop.payment_rows(gifts)] == [tuple(before)]
    assert await types(shop) == WHOLE


async def test_f53_the_shopper_can_begin_the_next_session_at_once(
    shop: Shop, shopper: dict[str, str], gifts: int
) -> None:
    await shop.create_payment(gifts, shopper)
    session_id = await shop.start(shopper)
    assert (await shop.add(session_id, MILK)).status_code == 200
    assert (await shop.create_payment(session_id, shopper)).json()["amount"] == 12.5


async def test_f53_a_free_basket_with_something_that_costs_is_paid_as_ever(
    shop: Shop, shopper: dict[str, str], gifts: int, acquirer: Acquirer
) -> None:
    await shop.add(gifts, MILK)
    answer = (await shop.create_payment(gifts, shopper)).json()
    assert (answer["amount"], answer["status"]) == (12.5, "open")
    assert acquirer.calls == ["open"]


async def test_f53_its_screen_hears_both_messages_in_order(shop: Shop, shopper: dict[str, str], gifts: int) -> None:
    heard: list[Any] = []
    listening = asyncio.create_task(_listen(shop, gifts, shopper, heard))
    await until(lambda: heard)
    await shop.create_payment(gifts, shopper)
    await until(lambda: len(heard) == 3)
    assert [message["type"] for message in heard] == ["cart-updated", "Payment created", "Payment successful"]
    listening.cancel()


async def _listen(shop: Shop, session_id: int, shopper: dict[str, str], heard: list[Any]) -> None:
    url = f"/customer-session/{session_id}/events"
    async with shop.http.stream("GET", url, headers=shopper) as stream:
        async for line in stream.aiter_lines():
            heard += [json.loads(line.removeprefix("data:"))] if line.startswith("data:") else []


async def test_f53_the_dearest_basket_is_counted_and_paid_exactly(
    shop: Shop, shopper: dict[str, str], acquirer: Acquirer
) -> None:
    """999 units at the highest price that an import takes: no sum overflows, on neither store."""
    highest = 9_999_999_999_999  # with the four decimals that a currency may have
    await shop.add_product(GIFT, "Diamond", highest)
    session_id = await shop.start(shopper)
    for _ in range(3):
        assert (await shop.add(session_id, GIFT)).status_code == 200
    await shop.create_payment(session_id, shopper)
    (row,) = await shop.payment_rows(session_id)
    assert row.amount == 3 * highest
    assert (await acquirer.say(shop, "succeeded", ref=acquirer.ref, amount=3 * highest)).json() == {
        "outcome": "settled"
    }
