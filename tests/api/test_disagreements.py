"""F72: what a cart did with an item and the server did not is told to an operator; pictures are drawn off the loop."""

import threading
from typing import Any

import pytest
import segno
from sqlalchemy import select

from duckycart.lifecycle.disagreements import MOST
from duckycart.store.tables import alarms
from duckycart.testing.furnish import BREAD, MILK
from tests.api.doors import Session, refused
from tests.world import Shop


async def told(shop: Shop) -> list[str]:
    return [row.detail for row in await shop.rows(select(alarms.c.detail).order_by(alarms.c.id))]


async def test_f72_an_item_that_the_server_never_had_is_refused_and_told_once(shop: Shop, session: Session) -> None:
    for _ in range(3):
        assert refused(await shop.remove(session.id, BREAD), 404)["code"] == "not_in_basket"
    (said,) = await told(shop)
    assert said.startswith(f"Cart 1 took out {BREAD} in session {session.id}, which was refused here: ")
    assert said.endswith(f"Product {BREAD} is not in the basket.")
    refused(await shop.remove(session.id, 404), 404)
    for _ in range(2):
        assert refused(await shop.add(session.id, 404), 404)["code"] == "unknown_product"
    assert len(await told(shop)) == 3
    assert set(await shop.alarm_kinds()) == {"basket_differs"}


async def test_f72_so_is_one_that_was_moved_while_the_basket_was_held(shop: Shop, session: Session) -> None:
    await shop.create_payment(session.id, session.shopper)
    for _ in range(2):
        assert refused(await shop.remove(session.id, MILK), 409)["code"] == "basket_frozen"
        assert refused(await shop.add(session.id, MILK), 409)["code"] == "basket_frozen"
    assert [line.split(",")[0] for line in await told(shop)] == [
        f"Cart 1 took out {MILK} in session {session.id}", f"Cart 1 added {MILK} in session {session.id}"
    ]  # fmt: skip


async def test_f72_a_cart_that_goes_on_hides_no_other_alarm(shop: Shop, session: Session) -> None:
    for barcode in range(1000, 1000 + MOST + 5):
        await shop.add(session.id, barcode)
    assert len(await told(shop)) == MOST


async def test_f72_another_s_session_and_one_that_is_over_are_nobody_s_alarm(shop: Shop, session: Session) -> None:
    refused(await shop.remove(session.id, BREAD, cart_id=2), 404)
    await shop.press((await shop.create_payment(session.id, session.shopper)).json()["payment_url"])
    refused(await shop.remove(session.id, MILK), 409)
    assert await told(shop) == []


async def test_f72_a_picture_is_drawn_beside_the_loop_and_once(
    shop: Shop, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []
    make = segno.make

    def watched(*arguments: Any, **options: Any) -> Any:
        drawn.append(threading.current_thread().name)
        return make(*arguments, **options)

    monkeypatch.setattr(segno, "make", watched)
    await shop.create_payment(session.id, session.shopper)
    for _ in range(2):
        answer = await shop.http.get(
            f"/payment/get-payment/{session.id}", headers={**session.shopper, "Accept": "image/svg+xml"}
        )
        assert answer.headers["content-type"] == "image/svg+xml"
    answer = await shop.http.get("/customer-session/qr/2", headers={**shop.cart_headers(2), "Accept": "image/png"})
    assert answer.status_code == 200
    assert len(drawn) == 2
    assert all(name.startswith("qr") for name in drawn)
