"""Who may listen to what; F21: what the stream of a cart hands over opens one session, for a while, for a screen."""

from typing import Any

import jwt
import pytest
from sqlalchemy import update

from duckycart.effects import News, NewsKind
from duckycart.lifecycle.access import SCREEN_SECONDS
from duckycart.store.tables import carts
from duckycart.tokens import SCREEN_SECONDS as TOKEN_SECONDS
from duckycart.tokens import ScreenToken
from tests.api.doors import DOORS, FOR_SCREENS, Session, refused
from tests.channels.world import end, message, pay, refusal, screen, stream
from tests.world import Shop

UPDATED = message("cart-updated")


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def token_of(headers: dict[str, str]) -> str:
    return headers["Authorization"].removeprefix("Bearer ")


async def screen_token(shop: Shop, cart_id: int = 1) -> str:
    """What the cart's stream hands over to a newcomer."""
    async with stream(shop, f"/sse/{cart_id}", shop.cart_headers(cart_id)) as it:
        event = await it.event()
        assert event is not None
        return str(event[1]["token"])


async def test_the_carts_stream_says_each_session_as_it_starts(shop: Shop) -> None:
    shopper = await shop.shopper()
    async with stream(shop, "/sse/1", shop.cart_headers()) as it:
        for _ in range(2):
            session_id = await shop.start(shopper)
            event = await it.event()
            assert event is not None
            token = event[1].pop("token")
            assert event == (None, {"session_id": session_id, "event_type": "session-started"})
            async with screen(shop, session_id, bearer(token)) as its:
                assert await its.hears() == UPDATED
            await end(shop, session_id, shopper)


async def test_the_carts_stream_says_the_present_session_to_a_late_subscriber_once(
    shop: Shop, session: Session
) -> None:
    async with stream(shop, "/sse/1", shop.cart_headers()) as it:
        first = await it.event()
        assert first is not None
        assert first[1]["session_id"] == session.id
        shop.inside.channels.tell(News(NewsKind.SESSION_STARTED, 1, session.id, 1))  # it had only just started
        await end(shop, session.id, session.shopper)
        later = await shop.start(session.shopper)
        second = await it.event()
        assert second is not None
        assert second[1]["session_id"] == later


async def test_f21_the_screens_token_is_no_shoppers_token(shop: Shop, session: Session) -> None:
    token = await screen_token(shop)
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims == {
        "purpose": "screen",
        "session": session.id,
        "exp": shop.clock.now() // 1000 + TOKEN_SECONDS,
        "until": shop.inside.clock.steady() + TOKEN_SECONDS * 1000,
    }


async def test_f21_the_screens_token_opens_what_a_screen_needs_and_nothing_else(shop: Shop, session: Session) -> None:
    token = await screen_token(shop)
    await shop.add(session.id)
    opened = set()
    for door in DOORS:
        if door.who == "nobody" or door.path == "/customer-session/{session_id}/events":
            continue
        body = door.body(session, "x") if door.body else None
        answer = await shop.http.request(door.method, door.url(session), json=body, headers=bearer(token))
        if answer.status_code == 200:
            opened.add(str(door))
        else:
            refused(answer, 403, door)
    assert opened == FOR_SCREENS
    async with stream(shop, f"/customer-session/{session.id}/events?token={token}") as it:
        assert await it.event() is not None


async def test_f21_the_screens_token_opens_no_other_session(shop: Shop, session: Session) -> None:
    token = await screen_token(shop)
    other = await shop.start(await shop.shopper("other@example.com"), cart_id=2)
    for door in DOORS:
        if str(door) in FOR_SCREENS and "{session_id}" in door.path:
            url = door.url(session, session_id=other)
            refused(await shop.http.request(door.method, url, headers=bearer(token)), 404, door)
    assert await refusal(shop, other, bearer(token)) == (403, "unknown_session")


async def test_f21_the_screens_token_ends_a_while_after_the_session(shop: Shop, session: Session) -> None:
    """Of one that was paid; of another at once (F68)."""
    token = await screen_token(shop)
    url = f"/cart-items/session/{session.id}"
    await pay(shop, session.id, session.shopper)
    shop.clock.move(SCREEN_SECONDS)
    assert (await shop.http.get(url, headers=bearer(token))).status_code == 200
    shop.clock.move(0.001)
    assert refused(await shop.http.get(url, headers=bearer(token)), 401)["code"] == "expired_token"


async def test_f51_the_screens_token_lasts_as_long_as_its_session(shop: Shop, session: Session) -> None:
    token = await screen_token(shop)
    shop.clock.move(TOKEN_SECONDS)
    assert (await shop.http.get(f"/cart-items/session/{session.id}", headers=bearer(token))).status_code == 200
    await shop.housekeeping()  # it was idle
    refused(await shop.http.get(f"/cart-items/session/{session.id}", headers=bearer(token)), 401)


async def test_f23_a_screens_token_of_no_session_is_401(shop: Shop) -> None:
    token = shop.inside.tokens.screen(ScreenToken(404))
    refused(await shop.http.get("/customer-session/404", headers=bearer(token)), 401)


async def test_f20_a_carts_stream_is_for_that_cart_and_operators(shop: Shop, session: Session) -> None:
    operator = await shop.shopper("boss@example.com", operator=True)
    for headers in (operator, shop.cart_headers(), bearer(shop.keys[1])):
        async with stream(shop, "/sse/1", headers) as it:
            assert await it.event() is not None
    token = await screen_token(shop)
    for wrong in (shop.cart_headers(2), session.shopper, bearer(token)):
        refused(await shop.http.get("/sse/1", headers=wrong), 403)
    refused(await shop.http.get("/sse/1"), 401)
    refused(await shop.http.get("/sse/404", headers=operator), 404)


async def test_f20_a_withdrawn_key_gets_no_more_tokens(shop: Shop) -> None:
    shopper = await shop.shopper()
    async with stream(shop, "/sse/1", shop.cart_headers()) as it:
        await shop.inside.store.write(
            lambda tx: tx.connection.execute(update(carts).where(carts.c.id == 1).values(key_hash=b"new"))
        )
        operator = await shop.shopper("boss@example.com", operator=True)
        qr = (await shop.http.get("/customer-session/qr/1", headers=operator)).json()
        assert (await shop.scan(qr, shopper)).status_code == 200
        assert await it.event() is None


@pytest.mark.parametrize("form", ["header", "query"])
async def test_a_socket_opens_for_its_shopper_its_screen_and_an_operator(
    shop: Shop, session: Session, form: str
) -> None:
    operator = await shop.shopper("boss@example.com", operator=True)
    for token in (token_of(session.shopper), await screen_token(shop), token_of(operator)):
        how: dict[str, Any] = {"headers": bearer(token)} if form == "header" else {"query": f"?token={token}"}
        async with screen(shop, session.id, **how) as it:
            assert await it.hears() == UPDATED


async def test_f20_a_socket_is_refused_before_the_upgrade(shop: Shop, session: Session) -> None:
    other = await shop.shopper("other@example.com")
    assert await refusal(shop, session.id, other) == (403, "unknown_session")
    for unknown in (999, 0, "01", "x", "1e0", "9" * 30, "%20"):
        assert await refusal(shop, unknown, session.shopper) == (403, "unknown_session"), unknown
    assert await refusal(shop, session.id) == (401, "no_credential")
    for wrong in ("rubbish", await shop.qr(2), "x.y.z"):
        assert (await refusal(shop, session.id, query=f"?token={wrong}"))[0] == 401
    assert len(shop.inside.channels) == 0
