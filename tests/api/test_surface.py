"""Which pages of other origins may use the surface."""

import socket

import pytest

from tests.conftest import OpenShop
from tests.world import Shop

pytestmark = pytest.mark.any_store

SCREEN = "https://screen.example"


async def preflight(shop: Shop, origin: str, method: str = "GET", headers: str = "authorization") -> dict[str, str]:
    answer = await shop.http.options(
        "/customer-session/cart/1",
        headers={
            "Origin": origin,
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": headers,
        },
    )
    return dict(answer.headers)


async def test_no_other_origin_is_let_in_by_default(shop: Shop) -> None:
    assert "access-control-allow-origin" not in await preflight(shop, SCREEN)
    answer = await shop.http.get("/healthz", headers={"Origin": SCREEN})
    assert "access-control-allow-origin" not in answer.headers


async def test_screens_of_a_named_origin_send_and_read_what_they_need(opening: OpenShop) -> None:
    async with opening(offline_carts="accept", cors_origins=SCREEN) as shop:
        await shop.furnish()
        for method in ("GET", "POST", "PUT", "DELETE"):
            allowed = await preflight(shop, SCREEN, method, "authorization, content-type, idempotency-key, prefer")
            assert allowed["access-control-allow-origin"] == SCREEN
            assert method in allowed["access-control-allow-methods"]
        answer = await shop.http.get("/customer-session/qr/1", headers={**shop.cart_headers(), "Origin": SCREEN})
        assert answer.headers["access-control-allow-origin"] == SCREEN
        assert "Hardware-Delivery" in answer.headers["access-control-expose-headers"]
        assert answer.headers["hardware-delivery"] == "queued"
        refusal = await shop.http.get("/customer-session/cart/1", headers={"Origin": SCREEN})
        assert refusal.status_code == 401
        assert refusal.headers["access-control-allow-origin"] == SCREEN, "or the page cannot read why"
        assert "access-control-allow-origin" not in await preflight(shop, "https://other.example")


async def test_no_answer_is_held_back_by_the_kernel(shop: Shop) -> None:
    """Nagle's algorithm and delayed acknowledgements together cost 40 ms an answer."""
    await shop.http.get("/healthz")
    for connection in shop.server.server_state.connections:
        connected = connection.transport.get_extra_info("socket")
        assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert shop.server.server_state.connections
