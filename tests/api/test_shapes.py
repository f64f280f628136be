"""What each call answers when all is well: the names and quirks that carts, screens and phones in the field read."""

import re
from typing import Any

import jwt
import pytest
from sqlalchemy import update

from duckycart.store.tables import carts, products
from duckycart.testing.furnish import BREAD, MILK, TEA
from tests.api.doors import PASSWORD, Session
from tests.world import Shop

pytestmark = pytest.mark.any_store

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
MILK_VIEW = {
    "item_no_": 1,
    "description": "Milk",
    "description_ar": "",
    "product_size": "",
    "unit_price": 12.5,
    "currency": "EGP",
    "currency_digits": 2,
    "barcode": MILK,
    "image_url": None,
}


async def get(shop: Shop, url: str, headers: dict[str, str]) -> Any:
    answer = await shop.http.get(url, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_qr_is_a_json_string_a_jwt_with_exp_and_cartid(shop: Shop) -> None:
    answer = await shop.http.get("/customer-session/qr/1", headers=shop.cart_headers())
    token = answer.json()
    assert isinstance(token, str)
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["cartid"] == 1
    assert claims["exp"] == shop.clock.now() // 1000 + 300
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["hardware-delivery"] == "queued"


async def test_a_session_of_a_cart(shop: Shop, session: Session) -> None:
    seen = await get(shop, "/customer-session/cart/1", shop.cart_headers())
    assert set(seen) == {"session_id", "user_id", "cart_id", "is_active", "created_at"}
    assert (seen["session_id"], seen["cart_id"], seen["is_active"]) == (session.id, 1, True)
    assert TIME.fullmatch(seen["created_at"])
    assert seen == await get(shop, f"/customer-session/{session.id}", session.shopper)
    none = await shop.http.get("/customer-session/cart/2", headers=shop.cart_headers(2))
    assert none.status_code == 404
    assert none.json()["code"] == "no_active_session"


async def test_the_status_of_a_cart(shop: Shop, session: Session) -> None:
    in_use = await get(shop, "/customer-session/cart-status/1", shop.cart_headers())
    assert in_use.pop("user_id") > 0
    assert in_use == {"cart_id": 1, "status": "in_use", "has_active_session": True, "session_id": session.id}
    url = "/customer-session/cart-status/2"
    free = {"cart_id": 2, "status": "available", "has_active_session": False, "session_id": None, "user_id": None}
    assert await get(shop, url, shop.cart_headers(2)) == free
    await shop.inside.store.write(
        lambda tx: tx.connection.execute(update(carts).where(carts.c.id == 2).values(out_of_service=True))
    )
    assert await get(shop, url, shop.cart_headers(2)) == {**free, "status": "out_of_service"}


async def test_a_product(shop: Shop, session: Session) -> None:
    body = {"sessionID": session.id, "barcode": MILK}
    answer = await shop.http.post("/items/read", json=body, headers=shop.cart_headers())
    assert answer.status_code == 200
    assert answer.json() == MILK_VIEW
    assert await get(shop, f"/items/read/{MILK}", session.shopper) == MILK_VIEW


async def test_barcodes_are_integers_and_match_without_leading_zeros(shop: Shop, session: Session) -> None:
    await shop.inside.store.write(
        lambda tx: tx.connection.execute(
            update(products).where(products.c.barcode == str(TEA)).values(barcode="00042", barcode_number="42")
        )
    )
    for barcode in (42, "42", "00042"):
        answer = await shop.http.post(
            "/items/read", json={"sessionID": session.id, "barcode": barcode}, headers=shop.cart_headers()
        )
        assert answer.json()["barcode"] == 42
    assert (await get(shop, "/items/read/00042", session.shopper))["barcode"] == 42


async def test_adding_answers_with_the_line_and_prices_in_major_units(shop: Shop, session: Session) -> None:
    answer = await shop.add(session.id, MILK)
    assert answer.status_code == 200
    line = {"session_id": session.id, "item_id": 1, "quantity": 2, "saved_weight": 2000, "product": MILK_VIEW}
    assert answer.json() == line
    weighed = (await shop.add(session.id, BREAD, weight=410)).json()
    assert weighed["saved_weight"] == 410
    tea = (await shop.add(session.id, TEA)).json()
    assert (tea["product"]["unit_price"], tea["saved_weight"]) == (99.95, 0)
    basket = await get(shop, f"/cart-items/session/{session.id}", session.shopper)
    assert basket == {"items": [line, weighed, tea], "total_price": 129.95, "item_count": 4}


async def test_f18_the_last_unit_is_removed_with_a_body_and_answers_item_null(shop: Shop, session: Session) -> None:
    await shop.add(session.id, MILK)
    left = await shop.remove(session.id, MILK)
    assert left.status_code == 200
    assert isinstance(left.json()["message"], str)
    assert left.json()["item"]["quantity"] == 1
    last = await shop.remove(session.id, MILK)
    assert last.status_code == 200
    assert last.json() == {"message": left.json()["message"], "item": None}
    empty = {"items": [], "total_price": 0.0, "item_count": 0}
    assert await get(shop, f"/cart-items/session/{session.id}", session.shopper) == empty
    assert (await shop.remove(session.id, MILK)).json()["code"] == "not_in_basket"


async def test_sign_up_answers_with_the_user_and_log_in_with_a_token(shop: Shop) -> None:
    form = {"email": "Sara@Example.com", "password": PASSWORD, "full_name": "Sara", "username": "sara.1"}
    signed_up = await shop.http.post("/auth/signup", json=form)
    assert signed_up.status_code == 200
    user = signed_up.json()
    assert user.pop("id") > 0
    assert user == {
        "email": "sara@example.com",
        "username": "sara.1",
        "mobile_number": None,
        "full_name": "Sara",
        "is_active": True,
    }
    for name in ("sara@example.com", "SARA.1"):
        answer = await shop.http.post("/auth/login", data={"username": name, "password": PASSWORD})
        assert answer.status_code == 200
        signed_in = answer.json()
        assert set(signed_in) == {"access_token", "token_type", "user"}
        assert signed_in["token_type"] == "bearer"
        assert set(signed_in["user"]) == {"id", "email", "full_name", "is_active"}
    scanned = await shop.scan(await shop.qr(), {"Authorization": f"Bearer {signed_in['access_token']}"})
    assert scanned.json()["user_id"] == signed_in["user"]["id"]


async def test_an_account_is_taken_without_regard_to_case(shop: Shop) -> None:
    form = {"email": "sara@example.com", "password": PASSWORD, "full_name": "Sara", "username": "sara"}
    assert (await shop.http.post("/auth/signup", json=form)).status_code == 200
    for again in ({"email": "SARA@example.com", "username": "o.k"}, {"email": "ok@example.com", "username": "SARA"}):
        answer = await shop.http.post("/auth/signup", json={**form, **again})
        assert answer.status_code == 409
        assert answer.json()["code"] == "account_taken"


async def test_a_guest_joins_with_the_qr_it_began_with_and_with_no_other(shop: Shop) -> None:
    qr, other = await shop.qr(1), await shop.qr(2)
    guest = (await shop.http.post("/auth/guest", json={"token": qr})).json()
    assert set(guest) == {"access_token", "token_type", "user"}
    assert guest["user"]["email"] is None
    headers = {"Authorization": f"Bearer {guest['access_token']}"}
    assert (await shop.scan(other, headers)).status_code == 403
    assert (await shop.scan(qr, headers)).json()["cart_id"] == 1
    spent = await shop.http.post("/auth/guest", json={"token": qr})
    assert (spent.status_code, spent.json()["code"]) == (410, "qr_void")


async def test_a_scan_answers_with_the_session_also_for_the_url_of_the_picture(shop: Shop) -> None:
    shopper = await shop.shopper()
    answer = await shop.scan(f"https://elsewhere.example/s/{await shop.qr()}", shopper)
    assert answer.status_code == 200
    assert set(answer.json()) == {"session_id", "user_id", "cart_id", "is_active", "created_at"}


async def test_a_session_ends_when_its_basket_is_empty_and_not_before(shop: Shop, session: Session) -> None:
    url = f"/customer-session/{session.id}/end"
    full = await shop.http.post(url, headers=session.shopper)
    assert (full.status_code, full.json()["code"]) == (409, "basket_not_empty")
    await shop.remove(session.id)
    ended = await shop.http.post(url, headers=session.shopper)
    assert ended.status_code == 200
    assert (await get(shop, f"/customer-session/{session.id}", session.shopper))["is_active"] is False
    again = await shop.http.post(url, headers=session.shopper)
    assert (again.status_code, again.json()["code"]) == (409, "session_over")


async def test_a_payment(shop: Shop, session: Session) -> None:
    url = f"/payment/get-payment/{session.id}"
    assert (await shop.http.get(url, headers=session.shopper)).status_code == 404
    answer = await shop.create_payment(session.id, session.shopper)
    assert answer.status_code == 200
    payment = answer.json()
    assert re.search(r"/pay/[0-9a-f]{32}$", payment["payment_url"])
    assert payment == {
        "payment_id": 1,
        "payment_url": payment["payment_url"],
        "amount": 12.5,
        "currency": "EGP",
        "currency_digits": 2,
        "status": "open",
    }
    assert await get(shop, url, session.shopper) == {
        "payment_id": 1,
        "payment_url": payment["payment_url"],
        "status": "open",
    }
    repeated = await shop.http.post(
        f"/payment/create-payment/{session.id}", json={"payment_method": "card"}, headers=session.shopper
    )
    assert repeated.json() == payment
    assert [kind for _, kind, *_ in await shop.commands()] == ["generate_qr", "session_started", "payment_created"]
    for change in (shop.add(session.id), shop.remove(session.id)):
        assert (await change).json()["code"] == "basket_frozen"
    await shop.press(payment["payment_url"])
    assert (await get(shop, url, session.shopper))["status"] == "paid"
    assert (await shop.add(session.id)).json()["code"] == "session_over"


async def test_an_empty_basket_cannot_be_paid(shop: Shop, session: Session) -> None:
    await shop.remove(session.id)
    answer = await shop.create_payment(session.id, session.shopper)
    assert (answer.status_code, answer.json()["code"]) == (409, "basket_empty")


async def test_health_and_readiness(shop: Shop) -> None:
    assert (await shop.http.get("/healthz")).json() == {"status": "ok"}
    async with shop.cart():
        await shop.online()
        assert (await shop.http.get("/readyz")).json() == {"status": "ready", "carts_connected": 1}
    shop.inside.connector.draining = True
    stopping = await shop.http.get("/readyz")
    assert stopping.status_code == 503
    assert stopping.headers["retry-after"]
    assert (await shop.http.get("/healthz")).status_code == 200
