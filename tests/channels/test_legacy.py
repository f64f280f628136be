"""DUCKYCART_LEGACY_SCREENS: screens that cannot be updated, in networks where that is accepted."""

from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from tests.api.doors import Session, refused
from tests.channels.world import end, message, refusal, screen, stream
from tests.conftest import OpenShop
from tests.world import Shop

UPDATED = message("cart-updated")
STALE = {"Authorization": "Bearer of.some.session"}


@pytest.fixture
async def shop(opening: OpenShop) -> AsyncIterator[Shop]:
    async with opening(
        offline_carts="accept", legacy_screens="127.0.0.0/8", legacy_per_minute=5, trusted_proxies="127.0.0.2/32"
    ) as shop:
        await shop.furnish()
        await shop.add_cart(2)
        yield shop


@pytest.mark.parametrize("headers", [{}, STALE], ids=["no header", "a stale one"])
async def test_qr_stream_and_socket_need_no_credential(shop: Shop, headers: dict[str, str]) -> None:
    shopper = await shop.shopper()
    async with stream(shop, "/sse/1", headers) as it:
        qr = await shop.http.get("/customer-session/qr/1", headers=headers)
        assert qr.status_code == 200
        session_id = (await shop.scan(qr.json(), shopper)).json()["session_id"]
        event = await it.event()
        assert event is not None
        assert event[1]["session_id"] == session_id
        async with screen(shop, session_id, headers) as its:
            assert await its.hears() == UPDATED
    assert await refusal(shop, 999, headers) == (403, "unknown_session")


async def test_nothing_else_opens_without_a_credential(shop: Shop, session: Session) -> None:
    for path in (
        "/customer-session/cart/1",
        f"/customer-session/{session.id}/events",
        f"/customer-session/{session.id}",
    ):
        refused(await shop.http.get(path), 401, path)
        refused(await shop.http.get(path, headers=STALE), 401, path)


async def test_the_qr_of_a_cart_in_use_opens_the_screens_stream_and_starts_nothing(
    shop: Shop, session: Session
) -> None:
    commands = await shop.commands()
    qr = await shop.http.get("/customer-session/qr/1", headers=STALE)
    assert qr.status_code == 200
    assert "hardware-delivery" not in qr.headers
    assert await shop.commands() == commands, "no command"
    other = await shop.shopper("other@example.com")
    assert refused(await shop.scan(qr.json(), other), 409)["code"] == "cart_busy"
    assert refused(await shop.http.post("/auth/guest", json={"token": qr.json()}), 410)["code"] == "qr_void"
    assert (await shop.scan(qr.json(), session.shopper)).json()["session_id"] == session.id
    await end(shop, session.id, session.shopper)
    assert refused(await shop.scan(qr.json(), other), 410)["code"] == "qr_void"


async def test_the_cart_itself_is_told_that_it_is_in_use(shop: Shop, session: Session) -> None:
    refused(await shop.http.get("/customer-session/qr/1", headers=shop.cart_headers()), 409)
    refused(await shop.http.get("/customer-session/qr/1", headers={"X-API-Key": "wrong"}), 403)


async def test_calls_are_limited_for_each_cart_and_address(shop: Shop, session: Session) -> None:
    for _ in range(5):
        assert (await shop.http.get("/customer-session/qr/1")).status_code == 200
    limited = refused(await shop.http.get("/customer-session/qr/1"), 429)
    assert limited["code"] == "too_many_requests"
    refused(await shop.http.get("/sse/1"), 429)
    assert await refusal(shop, session.id) == (429, "too_many_requests")
    assert (await shop.http.get("/customer-session/qr/2")).status_code == 200, "another cart"
    assert (await shop.http.get("/customer-session/cart/1", headers=shop.cart_headers())).status_code == 200
    for number in range(5):
        assert (await refusal(shop, 900 + number))[0] == 403
    assert (await refusal(shop, 999))[0] == 429, "who tries out sessions"


async def test_elsewhere_a_credential_is_needed(opening: OpenShop) -> None:
    async with opening(offline_carts="accept", legacy_screens="10.0.0.0/8", trusted_proxies="127.0.0.1/32") as shop:
        await shop.furnish()
        refused(await shop.http.get("/customer-session/qr/1"), 401)
        refused(await shop.http.get("/sse/1"), 401)
        assert await refusal(shop, 1) == (401, "no_credential")
        from_there = {"X-Forwarded-For": "10.1.2.3"}
        assert (await shop.http.get("/customer-session/qr/1", headers=from_there)).status_code == 200
        assert await refusal(shop, 1, from_there) == (403, "unknown_session")


@pytest.mark.parametrize("networks", ["", "127.0.0.0/8"])
async def test_it_is_said_aloud_at_start(opening: OpenShop, networks: str) -> None:
    with capture_logs() as logs:
        async with opening(legacy_screens=networks):
            pass
    said = [line["networks"] for line in logs if line["event"].startswith("screens need no credential")]
    assert said == ([networks] if networks else [])
