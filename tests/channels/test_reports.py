"""What a cart reports besides its basket, with the shapes that fielded carts send and read."""

from typing import Any

import pytest
from sqlalchemy import select

from duckycart.clock import iso
from duckycart.store.tables import alarms, fraud_warnings
from duckycart.testing.furnish import MILK
from tests.api.doors import Session, refused
from tests.channels.world import end, post, warn
from tests.world import Shop


async def test_a_warning_is_kept(shop: Shop, session: Session) -> None:
    for number, text in enumerate(("weight increased", "weight decreased", "battery at 5 %", "x" * 200), 1):
        answer = await warn(shop, session.id, text)
        assert answer.status_code == 200
        assert answer.json() == {
            "id": number,
            "session_id": session.id,
            "type_of_warning": text,
            "created_at": iso(shop.clock.now()),
        }
    kept = await shop.rows(select(fraud_warnings.c.type_of_warning))
    assert [row[0] for row in kept] == ["weight increased", "weight decreased", "battery at 5 %", "x" * 200]
    refused(await warn(shop, session.id, "x" * 201), 422)
    assert await shop.alarm_kinds() == [], "while shopping it is the screen's matter"


async def test_once_a_payment_exists_an_operator_hears_of_weight_changes(shop: Shop, session: Session) -> None:
    await shop.add(session.id)
    await shop.create_payment(session.id, session.shopper)
    await warn(shop, session.id, "weight decreased")
    await warn(shop, session.id, "battery low")
    await warn(shop, session.id, "weight increased")
    (less, more) = await shop.rows(select(alarms).order_by(alarms.c.id))
    assert (less.kind, less.cart_id, less.session_id) == ("weight_decreased", 1, session.id)
    assert (more.kind, more.cart_id, more.session_id) == ("weight_increased", 1, session.id)
    assert [row.held for row in await shop.rows(select(fraud_warnings))] == [True, True, True]


async def test_the_hold_lasts_past_a_cancelled_payment(shop: Shop, session: Session) -> None:
    await shop.add(session.id)
    await shop.create_payment(session.id, session.shopper)
    shop.clock.move(shop.inside.rules.payment_seconds + 1)
    await shop.inside.checkout.reconcile()
    await warn(shop, session.id, "weight increased")
    assert await shop.alarm_kinds() == ["weight_increased"]


async def test_the_place_of_a_cart_is_its_last(shop: Shop, session: Session) -> None:
    first = iso(shop.clock.now())
    url = f"/session-location/{session.id}"
    answer = await post(shop, url, method="PUT", aisle_id=4)
    assert answer.status_code == 200
    assert answer.json() == {"session_id": session.id, "aisle_id": 4, "created_at": first, "updated_at": first}
    shop.clock.move(60)
    there = (await post(shop, url, method="PUT", aisle_id=7)).json()
    assert there == {
        "session_id": session.id,
        "aisle_id": 7,
        "created_at": first,
        "updated_at": iso(shop.clock.now()),
    }


async def test_f40_a_cart_that_repeats_its_place_is_left_alone_all_the_same(shop: Shop, session: Session) -> None:
    for _ in range(2):
        await post(shop, f"/session-location/{session.id}", method="PUT", aisle_id=4)
        shop.clock.move(shop.inside.rules.idle_seconds - 1)
    await shop.housekeeping()
    assert (await shop.session_row(session.id)).is_active is False


CALLS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "a warning": ("POST", "/fraud-warnings/", {"type_of_warning": "battery low"}),
    "a notice": ("POST", "/fraud-warnings/notify-cart-update", {"barcode": MILK}),
    "a place": ("PUT", "/session-location/{session_id}", {"aisle_id": 4}),
}


@pytest.mark.parametrize("call", CALLS)
async def test_f30_a_report_that_names_the_session_is_a_receipt_of_its_start(
    shop: Shop, session: Session, call: str
) -> None:
    method, path, body = CALLS[call]
    assert (await shop.states())[-1] == "queued"
    body = body if "{" in path else {**body, "session_id": session.id}
    answer = await post(shop, path.format(session_id=session.id), method=method, **body)
    assert answer.status_code == 200, answer.text
    assert (await shop.states())[-1] == "received"


@pytest.mark.parametrize("call", CALLS)
async def test_a_session_that_is_over_is_409_and_anothers_404(shop: Shop, session: Session, call: str) -> None:
    method, path, body = CALLS[call]
    body = body if "{" in path else {**body, "session_id": session.id}
    url = path.format(session_id=session.id)
    refused(await post(shop, url, cart_id=2, method=method, **body), 404)
    await end(shop, session.id, session.shopper)
    assert refused(await post(shop, url, method=method, **body), 409)["code"] == "session_over"


async def test_notify_answers_with_a_message(shop: Shop, session: Session) -> None:
    answer = await post(shop, "/fraud-warnings/notify-cart-update", session_id=session.id, barcode=0)
    assert answer.status_code == 200
    assert answer.json().keys() == {"message"}
