"""What is said of the surface itself: OpenAPI, and which pages of other origins may use it."""

from tests.api.doors import DOORS
from tests.conftest import OpenShop
from tests.world import Shop

SCREEN = "https://screen.example"


async def test_openapi_names_every_door_and_how_it_refuses(shop: Shop) -> None:
    answer = await shop.http.get("/openapi.json")
    assert answer.status_code == 200
    paths = answer.json()["paths"]
    for door in DOORS:
        responses = paths[door.path][door.method.lower()]["responses"]
        assert {"200", "4XX", "5XX"} <= set(responses), door
        schema = responses["4XX"]["content"]["application/problem+json"]["schema"]
        assert {"type", "title", "status", "detail", "code", "message"} == set(schema["required"])
        assert "201" not in responses, "fielded carts take it for a failure"


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
