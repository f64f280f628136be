"""HEAD is wherever GET is, and OPTIONS wherever anything is (F63)."""

import re

import pytest
from fastapi.routing import iter_route_contexts
from httpx2 import Response

from duckycart.api.methods import is_get_only
from duckycart.testing.furnish import MILK
from tests.api.doors import Session, refused
from tests.world import Shop

pytestmark = pytest.mark.any_store

EFFECTS = {"/customer-session/qr/{cart_id}", "/sse/{cart_id}", "/customer-session/{session_id}/events"}


def paths(shop: Shop) -> set[str]:
    """Of all that GET reads, also the pages and documents."""
    return {
        str(route.path)
        for route in iter_route_contexts(shop.app.routes)
        if "GET" in (route.methods or ()) and route.path not in EFFECTS
    }


def kept(answer: Response) -> dict[str, str]:
    """The headers, but those of the moment."""
    return {name: value for name, value in answer.headers.items() if name not in ("date", "set-cookie")}


async def test_f63_head_is_get_without_a_body(shop: Shop, session: Session) -> None:
    operator = await shop.shopper("boss@example.com", operator=True)
    values = {"session_id": session.id, "barcode": MILK, "cart_id": 1, "name": "page.css", "token": "x", "path": "1"}
    looked = paths(shop)
    assert len(looked) > 10
    for path in looked:
        url = re.sub(r"\{(\w+)(?::path)?\}", lambda found: str(values[found[1]]), path)
        for headers in (operator, shop.cart_headers(), session.shopper, {}):
            got = await shop.http.get(url, headers=headers)
            looked_at = await shop.http.head(url, headers=headers)
            assert looked_at.status_code == got.status_code, path
            assert kept(looked_at) == kept(got), path
            assert looked_at.content == b"", path
            if path in ("/healthz", "/readyz"):
                assert got.status_code == 200


async def test_f63_a_look_at_a_qr_makes_none_and_a_look_at_a_stream_opens_none(shop: Shop, session: Session) -> None:
    before = await shop.commands()
    for path in ("/customer-session/qr/2", "/sse/1", f"/customer-session/{session.id}/events"):
        answer = await shop.http.head(path, headers=shop.cart_headers(2 if "qr" in path else 1))
        assert answer.status_code == 405
        assert answer.headers["allow"] == "GET, OPTIONS"
        assert answer.content == b""
    assert await shop.commands() == before
    assert await shop.commands(2) == []
    assert len(shop.inside.channels) == 0


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/healthz", "GET, HEAD, OPTIONS"),
        ("/screen/1", "GET, HEAD, OPTIONS, POST"),
        ("/cart-items/add", "OPTIONS, POST"),
        ("/cart-items/remove", "DELETE, OPTIONS"),
        ("/customer-session/qr/1", "GET, OPTIONS"),
        ("/ws/hardware/1", "GET, HEAD, OPTIONS"),
        ("/openapi.json", "GET, HEAD, OPTIONS"),
    ],
)
async def test_f63_options_says_what_an_address_takes(shop: Shop, path: str, methods: str) -> None:
    answer = await shop.http.options(path)
    assert (answer.status_code, answer.headers["allow"], answer.content) == (204, methods, b"")
    other = await shop.http.request("PATCH", path)
    assert refused(other, 405)["code"] == "method_not_allowed"
    assert other.headers["allow"] == methods


async def test_f63_options_of_nothing_is_nothing(shop: Shop) -> None:
    refused(await shop.http.options("/nowhere"), 404)


async def test_f63_what_must_not_be_looked_at_says_so(shop: Shop) -> None:
    """A new GET that has an effect, or never ends, belongs here too."""
    only = {route.path for route in iter_route_contexts(shop.app.routes) if is_get_only(route)}
    assert only == EFFECTS
