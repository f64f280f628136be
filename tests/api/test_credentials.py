"""401 for a missing, malformed or expired credential and for nothing else; 403 or 404 for one without the right."""

import base64
import json
from typing import Any

import jwt
from sqlalchemy import update

from duckycart.store.tables import carts
from duckycart.tokens import ACCESS_SECONDS
from tests.api.doors import KEPT, Session, begin, contents, refused
from tests.world import Shop


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def token_of(shopper: dict[str, str]) -> str:
    return shopper["Authorization"].removeprefix("Bearer ")


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def forged(shop: Shop, shopper: dict[str, str]) -> dict[str, str]:
    """Tokens that look right and are not."""
    right = token_of(shopper)
    header, claims, signature = right.split(".")
    kid = jwt.get_unverified_header(right)["kid"]
    content = jwt.decode(right, options={"verify_signature": False})
    another = jwt.encode(content, b"another key of thirty-two bytes!", "HS256", headers={"kid": kid})
    unknown = jwt.encode(content, b"another key of thirty-two bytes!", "HS256", headers={"kid": "none-of-ours"})
    return {
        "another's key": another,
        "an unknown kid": unknown,
        "no kid": jwt.encode(content, b"another key of thirty-two bytes!", "HS256"),
        "alg none": f"{part({'alg': 'none', 'kid': kid})}.{claims}.",
        "alg none, our signature": f"{part({'alg': 'none', 'kid': kid})}.{claims}.{signature}",
        "claims changed": f"{header}.{part({**content, 'operator': True})}.{signature}",
        "no signature": f"{header}.{claims}.",
        "cut off": right[:-5],
        "a header without end": f"{'W1tb' * 440}.x.x",
        "a header that is a list": f"{part([])}.{claims}.{signature}",
        "a kid that is no text": f"{part({'alg': 'HS256', 'kid': 1})}.{claims}.{signature}",
        "dots": "..",
        "too long": f"{header}.{claims}{'x' * 3000}.{signature}",
        "no letters": "\xe4\xf6.\xfc.\xdf",
    }


def signed(shop: Shop, purpose: str | None) -> str:
    """A token with our signature and every claim that a QR or an access token has, but for its purpose."""
    claims = {"sub": "1", "operator": False, "cartid": 2, "round": 1, "exp": shop.clock.now() // 1000 + 60}
    return shop.inside.tokens._sign({**claims, "purpose": purpose})


async def test_every_kept_door_wants_a_credential(shop: Shop, session: Session) -> None:
    before = await contents(shop)
    for door in KEPT:
        body = door.body(session, "x") if door.body else None
        for headers in (
            {}, {"X-API-Key": ""}, {"Authorization": ""}, {"Authorization": "Bearer"},
            {"Authorization": "Basic bW9uYTptb25h"}, {"Authorization": "rubbish"}, bearer("rubbish"), bearer("a b.c.d"),
        ):  # fmt: skip
            answer = await shop.http.request(door.method, door.url(session), json=body, headers=headers)
            refused(answer, 401, f"{door} with {headers}")
            assert answer.headers["www-authenticate"] == "Bearer"
    assert await contents(shop) == before


async def test_f23_every_kept_door_refuses_forged_and_wrong_tokens(shop: Shop, session: Session) -> None:
    wrong = {
        **forged(shop, session.shopper),
        "a QR": await shop.qr(2),
        "ours for another purpose": signed(shop, "refresh"),
        "ours without a purpose": signed(shop, None),
    }
    before = await contents(shop)
    for case, token in wrong.items():
        headers = {b"Authorization": b"Bearer " + token.encode("latin-1")}
        refused(await shop.http.get(f"/customer-session/{session.id}", headers=headers), 401, case)
    for door in KEPT:
        body = door.body(session, "x") if door.body else None
        for case in ("another's key", "alg none", "claims changed", "a QR"):
            answer = await shop.http.request(door.method, door.url(session), json=body, headers=bearer(wrong[case]))
            refused(answer, 401, f"{door} with {case}")
    assert await contents(shop) == before


async def test_f23_only_a_qr_works_as_a_qr(shop: Shop, session: Session) -> None:
    other = await shop.shopper("other@example.com")
    qr = await shop.qr(2)
    header, _, signature = qr.split(".")
    changed = part({"purpose": "qr", "cartid": 2, "round": 1, "exp": 2**40})
    before = await contents(shop)
    wrong = {
        **forged(shop, session.shopper),
        "an access token": token_of(session.shopper),
        "ours for another purpose": signed(shop, "refresh"),
        "ours without a purpose": signed(shop, None),
        "a URL without a QR": "https://shop.example/s/",
        "a text": "hello",
        "a QR made to last": f"{header}.{changed}.{signature}",
    }
    for case, token in wrong.items():
        for url in ("/customer-session/scan-qr", "/auth/guest"):
            answer = await shop.http.post(url, json={"token": token}, headers=other)
            refused(answer, (400, 422), f"{case} at {url}")  # 422: longer than any token
    assert await contents(shop) == before


async def test_an_expired_access_token_is_401(shop: Shop, session: Session) -> None:
    url = f"/customer-session/{session.id}"
    shop.clock.move(ACCESS_SECONDS - 1)
    assert (await shop.http.get(url, headers=session.shopper)).status_code == 200
    shop.clock.move(1)
    assert refused(await shop.http.get(url, headers=session.shopper), 401)["code"] == "expired_token"


async def test_a_carts_key_works_in_either_header(shop: Shop) -> None:
    url = "/customer-session/cart-status/1"
    assert (await shop.http.get(url, headers=bearer(shop.keys[1]))).status_code == 200
    assert (await shop.http.get(url, headers={"X-API-Key": shop.keys[1]})).status_code == 200


async def test_a_wrong_key_is_403_and_does_not_say_which_carts_there_are(shop: Shop, session: Session) -> None:
    answers = [
        await shop.http.get(f"/customer-session/cart-status/{cart_id}", headers=headers)
        for cart_id in (1, 999)
        for headers in ({"X-API-Key": "wrong"}, bearer("w" * 43), shop.cart_headers(2))
    ]
    for answer in answers:
        refused(answer, 403)
    details = {answer.json()["detail"] for answer in answers}
    assert not any("999" in detail for detail in details)
    assert [a.text for a in answers[:3]] == [a.text for a in answers[3:]]


async def test_f20_another_carts_key_opens_neither_cart_nor_session(shop: Shop, session: Session) -> None:
    before = await contents(shop)
    for door in KEPT:
        if door.who == "shopper" or door.path == "/items/read/{barcode}":
            continue
        body = door.body(session, "x") if door.body else None
        answer = await shop.http.request(door.method, door.url(session), json=body, headers=shop.cart_headers(2))
        refused(answer, 403 if "{cart_id}" in door.path else 404, door)
    assert await contents(shop) == before


async def test_f20_another_shoppers_session_is_404_as_one_that_is_not(shop: Shop, session: Session) -> None:
    other = await shop.shopper("other@example.com")
    before = await contents(shop)
    for door in KEPT:
        if "{session_id}" not in door.path or door.who == "cart":
            continue
        theirs = await shop.http.request(door.method, door.url(session), headers=other)
        missing = await shop.http.request(door.method, door.url(session, session_id=999), headers=other)
        assert refused(theirs, 404, door)["code"] == refused(missing, 404, door)["code"] == "unknown_session"
        assert theirs.json()["detail"].replace(str(session.id), "?") == missing.json()["detail"].replace("999", "?")
    assert await contents(shop) == before


async def test_f20_a_shopper_does_what_only_a_cart_may_and_the_reverse(shop: Shop, session: Session) -> None:
    before = await contents(shop)
    for door in KEPT:
        if door.who == "both":
            continue
        headers = session.shopper if door.who == "cart" else shop.cart_headers()
        body = door.body(session, "x") if door.body else None
        refused(await shop.http.request(door.method, door.url(session), json=body, headers=headers), 403, door)
    assert await contents(shop) == before


async def test_a_disabled_cart_opens_nothing_and_starts_nothing(shop: Shop) -> None:
    qr = await shop.qr(2)
    await set_cart(shop, 2, disabled=True)
    shopper = await shop.shopper()
    before = await contents(shop)
    for url in ("/customer-session/qr/2", "/customer-session/cart/2", "/customer-session/cart-status/2"):
        assert refused(await shop.http.get(url, headers=shop.cart_headers(2)), 403)["code"] == "wrong_key"
    refused(await shop.scan(qr, shopper), 409)
    assert await contents(shop) == before


async def test_an_operator_sees_every_session_and_asks_for_any_qr(shop: Shop, session: Session) -> None:
    operator = await shop.shopper("boss@example.com", operator=True)
    assert (await shop.http.get(f"/customer-session/{session.id}", headers=operator)).status_code == 200
    assert (await shop.http.get("/customer-session/qr/2", headers=operator)).status_code == 200
    assert (await shop.http.get("/customer-session/qr/999", headers=operator)).status_code == 404


async def test_two_shoppers_see_each_their_own(shop: Shop, session: Session) -> None:
    other = await begin(shop, "other@example.com", cart_id=2)
    for own, foreign in ((session, other), (other, session)):
        assert (await shop.http.get(f"/customer-session/{own.id}", headers=own.shopper)).status_code == 200
        assert (await shop.http.get(f"/customer-session/{foreign.id}", headers=own.shopper)).status_code == 404


async def set_cart(shop: Shop, cart_id: int, **values: Any) -> None:
    await shop.inside.store.write(
        lambda tx: tx.connection.execute(update(carts).where(carts.c.id == cart_id).values(**values))
    )
