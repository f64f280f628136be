"""A cart's screen shows its key once and goes on with a cookie, for that cart's QR and stream and nothing else."""

from typing import Any

import httpx2
import jwt
import pytest

from duckycart.admin.fleet import disable, enable, set_screen_key
from duckycart.keys import hash_of
from duckycart.testing.furnish import screen_key_of
from duckycart.tokens import CART_SCREEN_SECONDS
from tests.api.doors import KEPT, Session, contents, refused
from tests.channels.world import listeners, stream
from tests.conftest import OpenShop
from tests.world import Shop

OPENS = {"GET /customer-session/qr/{cart_id}", "GET /sse/{cart_id}"}
NEW = "n" * 43


def cookies_of(answer: httpx2.Response) -> list[list[str]]:
    """Each Set-Cookie, apart."""
    return [one.split("; ") for one in answer.headers.get_list("set-cookie")]


def carrying(token: str) -> dict[str, str]:
    return {"Cookie": f"duckycart_screen={token}"}


async def exchange(shop: Shop, cart_id: int = 1, key: str | None = None) -> httpx2.Response:
    async with httpx2.AsyncClient(base_url=shop.url, trust_env=False) as browser:  # the shop's own keeps cookies
        return await browser.post(f"/screen/{cart_id}", json={"key": key or screen_key_of(cart_id)})


async def cookie(shop: Shop, cart_id: int = 1) -> dict[str, str]:
    answer = await exchange(shop, cart_id)
    assert answer.status_code == 200, answer.text
    return carrying(cookies_of(answer)[0][0].partition("=")[2])


async def give_key(shop: Shop, key: str | None) -> None:
    """As an operator's shell does it, which is another process."""
    await shop.inside.store.write(lambda tx: set_screen_key(tx, 1, None if key is None else hash_of(key)))


async def test_the_cookie_is_for_no_script_no_other_site_and_only_for_its_two_doors(shop: Shop) -> None:
    answer = await exchange(shop)
    assert (answer.status_code, answer.json()) == (200, {"cart_id": 1})
    assert answer.headers["cache-control"] == "no-store"
    given = cookies_of(answer)
    assert len({one[0] for one in given}) == 1
    assert [one[1:] for one in given] == [
        ["HttpOnly", f"Max-Age={CART_SCREEN_SECONDS}", f"Path={path}", "SameSite=strict"]
        for path in ("/customer-session/qr/1", "/sse/1")
    ]
    assert screen_key_of(1) not in str(answer.headers)


async def test_behind_https_the_cookie_never_travels_without(opening: OpenShop) -> None:
    async with opening(public_url="https://shop.example/carts/") as shop:
        await shop.furnish()
        for one in cookies_of(await exchange(shop)):
            assert "Secure" in one
            assert any(part.startswith("Path=/carts/") for part in one)


async def test_f20_it_opens_the_qr_and_the_stream_of_its_cart_and_nothing_else(shop: Shop, session: Session) -> None:
    own, before = await cookie(shop), await contents(shop)
    for door in KEPT:
        body = door.body(session, "x") if door.body else None
        if str(door) not in OPENS:
            refused(await shop.http.request(door.method, door.url(session), json=body, headers=own), 401, door)
    assert await contents(shop) == before
    assert refused(await shop.http.get("/customer-session/qr/1", headers=own), 409)["code"] == "cart_busy"
    async with stream(shop, "/sse/1", own) as it:
        event = await it.event()
        assert event is not None
        assert event[1]["session_id"] == session.id


async def test_f20_another_carts_screen_is_403(shop: Shop) -> None:
    other = await cookie(shop, 2)
    for url in ("/customer-session/qr/1", "/sse/1", "/customer-session/qr/404"):
        assert refused(await shop.http.get(url, headers=other), 403)["code"] == "another_cart"
    assert (await shop.http.get("/customer-session/qr/2", headers=other)).status_code == 200


async def test_a_wrong_key_and_an_unknown_cart_are_told_the_same(shop: Shop) -> None:
    answers = [await exchange(shop, cart_id, NEW) for cart_id in (1, 404)]
    answers.append(await exchange(shop, 1, screen_key_of(2)))
    answers.append(await exchange(shop, 1, shop.keys[1]))
    await give_key(shop, None)
    answers.append(await exchange(shop))
    assert {refused(answer, 403)["code"] for answer in answers} == {"wrong_key"}
    assert len({answer.text for answer in answers}) == 1
    assert not any(cookies_of(answer) for answer in answers)


@pytest.mark.parametrize("new", [NEW, None], ids=["replaced", "withdrawn"])
async def test_another_key_voids_the_cookie(shop: Shop, new: str | None) -> None:
    old = await cookie(shop)
    await give_key(shop, new)
    for url in ("/customer-session/qr/1", "/sse/1"):
        assert refused(await shop.http.get(url, headers=old), 403)["code"] == "screen_key_withdrawn"
    refused(await exchange(shop), 403)
    assert new is None or (await exchange(shop, key=new)).status_code == 200


async def test_a_disabled_cart_has_no_screen_until_it_is_enabled(shop: Shop) -> None:
    own = await cookie(shop)
    await shop.inside.store.write(lambda tx: disable(tx, 1))
    refused(await shop.http.get("/customer-session/qr/1", headers=own), 403)
    refused(await exchange(shop), 403)
    await shop.inside.store.write(lambda tx: enable(tx, 1))
    assert (await shop.http.get("/customer-session/qr/1", headers=own)).status_code == 200


@pytest.mark.parametrize("change", ["another key", "no key", "disabled"])
async def test_the_sweep_ends_the_streams_of_the_old_key_and_no_others(shop: Shop, change: str) -> None:
    own, other = await cookie(shop), await cookie(shop, 2)
    async with (
        stream(shop, "/sse/1", own) as its,
        stream(shop, "/sse/1", shop.cart_headers()),
        stream(shop, "/sse/2", other),
    ):
        await listeners(shop, 3)
        if change == "disabled":
            await shop.inside.store.write(lambda tx: disable(tx, 1))
        else:
            await give_key(shop, NEW if change == "another key" else None)
        await shop.inside.channels.sweep()
        assert await its.event() is None
        await listeners(shop, 2)
        if change == "another key":
            new = carrying(cookies_of(await exchange(shop, key=NEW))[0][0].partition("=")[2])
            async with stream(shop, "/sse/1", new):
                await listeners(shop, 3)
                await shop.inside.channels.sweep()
                await listeners(shop, 3)


async def test_what_is_no_cookie_of_ours_is_401(shop: Shop, session: Session) -> None:
    good = (await cookie(shop))["Cookie"].partition("=")[2]
    claims = jwt.decode(good, options={"verify_signature": False})
    assert claims.keys() == {"purpose", "cart", "key", "exp", "until"}
    access = session.shopper["Authorization"].removeprefix("Bearer ")
    sign = shop.inside.tokens._sign
    wrong: dict[str, Any] = {
        "rubbish": "rubbish",
        "nothing": "",
        "cut off": good[:-5],
        "f23 an access token": access,
        "f23 for another purpose": sign({**claims, "purpose": "access"}),
        "a cart that is no number": sign({**claims, "cart": "1"}),
        "without a key": sign({name: claim for name, claim in claims.items() if name != "key"}),
    }
    for case, token in wrong.items():
        refused(await shop.http.get("/sse/1", headers=carrying(token)), 401, case)
    for headers in ({"Authorization": f"Bearer {good}"}, {"X-API-Key": ""}):
        refused(await shop.http.get("/sse/1", headers=headers), 401)
    shop.clock.move(CART_SCREEN_SECONDS)
    assert refused(await shop.http.get("/sse/1", headers=carrying(good)), 401)["code"] == "expired_token"


async def test_each_qr_renews_the_cookie_and_says_how_long_it_can_be_scanned(shop: Shop) -> None:
    first = await cookie(shop)
    shop.clock.move(CART_SCREEN_SECONDS - 1)
    answer = await shop.http.get("/customer-session/qr/1", headers=first)
    assert answer.headers["qr-seconds"] == str(shop.inside.rules.qr_seconds)
    renewed = carrying(cookies_of(answer)[0][0].partition("=")[2])
    shop.clock.move(1)
    shop.http.cookies.clear()
    refused(await shop.http.get("/customer-session/qr/1", headers=first), 401)
    shop.http.cookies.clear()
    assert (await shop.http.get("/customer-session/qr/1", headers=renewed)).status_code == 200
    by_cart = await shop.http.get("/customer-session/qr/2", headers=shop.cart_headers(2))
    assert cookies_of(by_cart) == []


async def test_a_header_wins_over_the_cookie(shop: Shop, session: Session) -> None:
    own = await cookie(shop)
    url = "/customer-session/qr/2"
    assert (await shop.http.get(url, headers={**carrying("bad"), **shop.cart_headers(2)})).status_code == 200
    refused(await shop.http.get("/sse/1", headers={**own, "X-API-Key": "wrong"}), 403)
    refused(await shop.http.get("/sse/1", headers={**own, **session.shopper}), 403)
    refused(await shop.http.get("/sse/1", headers={**own, "Authorization": "Bearer rubbish"}), 401)


async def test_where_screens_need_no_credential_the_cookie_still_says_who_it_is(opening: OpenShop) -> None:
    async with opening(offline_carts="accept", legacy_screens="127.0.0.0/8") as shop:
        await shop.furnish()
        await shop.add_cart(2)
        assert (await shop.http.get("/customer-session/qr/1")).status_code == 200
        refused(await shop.http.get("/customer-session/qr/1", headers=await cookie(shop, 2)), 403)


async def test_keys_can_be_tried_only_so_often(opening: OpenShop) -> None:
    async with opening(address_per_minute=2) as shop:
        await shop.furnish()
        assert [(await exchange(shop, key=NEW)).status_code for _ in range(3)] == [403, 403, 429]
        assert (await exchange(shop)).status_code == 429


async def test_the_payment_can_be_had_as_a_picture_of_its_url(shop: Shop, session: Session) -> None:
    url = f"/payment/get-payment/{session.id}"
    await shop.create_payment(session.id, session.shopper)
    for kind in ("image/svg+xml", "image/png"):
        answer = await shop.http.get(url, headers={**session.shopper, "Accept": kind})
        assert answer.headers["content-type"] == kind
        assert answer.headers["cache-control"] == "no-store"
    assert (await shop.http.get(url, headers=session.shopper)).json()["status"] == "open"
