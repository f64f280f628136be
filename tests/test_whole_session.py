"""One cart, one shopper, from the QR to idle: the protocol document's flow over the real socket."""

import json

from duckycart.testing.furnish import BREAD, MILK
from tests.world import Shop


async def test_a_cart_goes_through_a_whole_session(shop: Shop) -> None:
    shopper = await shop.shopper()
    async with shop.cart() as cart:
        await shop.online()
        answer = await shop.http.get("/customer-session/qr/1", headers={**shop.cart_headers(), "Prefer": "wait=5"})
        assert answer.headers["Hardware-Delivery"] == "received"
        assert json.loads(await cart.recv()) == {"type": "generate_qr", "data": None}

        joined = await shop.scan(answer.json(), shopper, Prefer="wait=5")
        session_id = joined.json()["session_id"]
        assert joined.headers["Hardware-Delivery"] == "received"
        assert json.loads(await cart.recv()) == {"type": "session_started", "data": session_id}
        assert (await shop.cart_row()).status == "in_use"

        assert (await shop.add(session_id, MILK)).status_code == 200
        assert (await shop.add(session_id, MILK)).json()["quantity"] == 2
        assert (await shop.add(session_id, BREAD)).status_code == 200
        basket = (await shop.http.get(f"/cart-items/session/{session_id}", headers=shopper)).json()
        assert basket["total_price"] == 30.0
        assert basket["item_count"] == 3

        payment = (await shop.create_payment(session_id, shopper)).json()
        assert payment["amount"] == 30.0
        assert payment["status"] == "open"
        assert json.loads(await cart.recv()) == {"type": "payment_created", "data": session_id}

        page = await shop.http.get(payment["payment_url"])
        assert "30.00 EGP" in page.text
        assert (await shop.press(payment["payment_url"])).status_code == 303
        assert json.loads(await cart.recv()) == {"type": "end_session", "data": session_id}
        assert "Thank you" in (await shop.http.get(payment["payment_url"])).text

        status = await shop.http.get("/customer-session/cart-status/1", headers=shop.cart_headers())
        assert status.json()["status"] == "available"
        assert await shop.settled() == ["received"] * 4
        session = await shop.http.get(f"/customer-session/{session_id}", headers=shopper)
        assert session.json()["is_active"] is False
