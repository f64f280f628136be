"""Hardware-Delivery says what became of the command of a call: queued, sent or received, never more than is known."""

import asyncio

import pytest

from duckycart.api import writes
from duckycart.refusals import DATABASE_UNAVAILABLE
from duckycart.testing.cart import CartConnection
from duckycart.testing.waiting import until
from tests.api.doors import Session
from tests.world import Shop

QR = "/customer-session/qr/1"


async def ask(shop: Shop, prefer: str | None = None) -> tuple[str, str | None]:
    headers = shop.cart_headers() if prefer is None else {**shop.cart_headers(), "Prefer": prefer}
    answer = await shop.http.get(QR, headers=headers)
    assert answer.status_code == 200
    return answer.headers["hardware-delivery"], answer.headers.get("preference-applied")


async def silent_cart(shop: Shop) -> CartConnection:
    """It reads everything and answers no ping."""
    cart = await CartConnection.open(shop.endpoint, "/ws/hardware/1", shop.cart_headers())
    cart.answer_pings = False
    await shop.online()
    return cart


async def test_queued_while_the_cart_is_away(shop: Shop) -> None:
    assert await ask(shop) == ("queued", None)
    assert await shop.states() == ["queued"]


async def test_f03_sent_is_not_received_while_the_pong_is_withheld(shop: Shop) -> None:
    cart = await silent_cart(shop)
    assert await ask(shop) == ("sent", None)
    await until(lambda: cart.texts)
    assert await shop.states() in (["queued"], ["sent"])
    cart.cut()


async def test_received_when_the_pong_comes_within_the_wait(shop: Shop) -> None:
    cart = await silent_cart(shop)
    asking = asyncio.create_task(ask(shop, "wait=5"))
    await until(lambda: b"1" in cart.pings)
    assert not asking.done()
    cart.pong(b"1")
    assert await asking == ("received", "wait=5")
    cart.cut()


@pytest.mark.parametrize("prefer", ["wait=0", "wait=-1", "wait=", "wait=x", "respond-async", "wait=99999999", "\xa0"])
async def test_a_preference_without_a_sensible_wait_does_not_wait(shop: Shop, prefer: str) -> None:
    raw = {name.encode(): value.encode() for name, value in shop.cart_headers().items()}
    answer = await shop.http.get(QR, headers={**raw, b"Prefer": prefer.encode("latin-1")})
    assert answer.status_code == 200
    assert answer.headers["hardware-delivery"] == "queued"


@pytest.mark.parametrize("prefer", ["wait=6", "wait=9999", "respond-async, wait=60; x"])
async def test_the_wait_is_capped(shop: Shop, monkeypatch: pytest.MonkeyPatch, prefer: str) -> None:
    assert writes.MAX_WAIT == 5
    monkeypatch.setattr(writes, "MAX_WAIT", 0)
    assert await ask(shop, prefer) == ("queued", "wait=0")


async def test_f29_superseded_is_never_told_as_received(shop: Shop) -> None:
    shopper = await shop.shopper()
    qr = await shop.qr()
    key = {"Idempotency-Key": "one"}
    session_id = (await shop.scan(qr, shopper, **key)).json()["session_id"]
    ended = await shop.http.post(f"/customer-session/{session_id}/end", headers=shopper)
    assert ended.headers["hardware-delivery"] == "queued"
    async with shop.cart():
        assert await shop.settled() == ["superseded", "superseded", "superseded"]
        again = await shop.scan(qr, shopper, **key, Prefer="wait=5")
        assert again.status_code == 200
        assert again.headers["hardware-delivery"] == "superseded"


async def test_every_call_that_makes_a_command_says_what_became_of_it(shop: Shop) -> None:
    shopper = await shop.shopper()
    wait = {"Prefer": "wait=5"}
    async with shop.cart():
        await shop.online()
        scanned = await shop.scan(await shop.qr(), shopper, **wait)
        session_id = scanned.json()["session_id"]
        ended = await shop.http.post(f"/customer-session/{session_id}/end", headers={**shopper, **wait})
        session_id = await shop.start(shopper)
        await shop.add(session_id)
        paid = await shop.http.post(f"/payment/create-payment/{session_id}", headers={**shopper, **wait})
        for answer in (scanned, ended, paid):
            assert answer.headers["hardware-delivery"] == "received"
        assert "hardware-delivery" not in (await shop.add(session_id)).headers


async def test_a_repeated_create_payment_makes_no_command_and_claims_none(shop: Shop, session: Session) -> None:
    assert "hardware-delivery" in (await shop.create_payment(session.id, session.shopper)).headers
    assert "hardware-delivery" not in (await shop.create_payment(session.id, session.shopper)).headers


async def test_what_is_committed_is_never_answered_with_an_error(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database went away between the commit and the look at what became of the command."""

    async def gone(*_: object) -> str:
        raise DATABASE_UNAVAILABLE()

    monkeypatch.setattr(shop.inside.dispatch, "delivery", gone)
    assert await ask(shop, "wait=5") == ("queued", "wait=5")
    assert await shop.states() == ["queued"]
