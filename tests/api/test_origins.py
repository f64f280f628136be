"""A web page of another origin has the browser's place in the network, and its cookies; here they are not its own.

Keyless carts, legacy screens and a cart's screen are let in by such things; whoever shows a key or a token is not.
"""

from typing import Any

import pytest

from duckycart.errors import Forbidden, Refusal
from duckycart.origins import refusal
from duckycart.refusals import FOREIGN_HOST, FOREIGN_ORIGIN
from duckycart.settings import Settings
from duckycart.testing.furnish import screen_key_of
from tests.api.doors import refused
from tests.channels.world import refusal as socket_refusal
from tests.channels.world import screen, stream
from tests.conftest import OpenShop
from tests.hardware.helpers import connect
from tests.hardware.helpers import refused as cart_refused
from tests.world import Shop

pytestmark = pytest.mark.any_store

EVIL = "https://evil.example"
KEYLESS: dict[str, Any] = {"keyless_carts": "127.0.0.0/8", "legacy_screens": "127.0.0.0/8", "offline_carts": "accept"}


def judged(
    origin: str | None = None,
    host: str | None = "127.0.0.1:8000",
    *,
    socket: bool = True,
    peer: str = "127.0.0.1",
    tls: bool = False,
    headers: dict[str, str] | None = None,
    **settings: Any,
) -> Refusal[Forbidden] | None:
    lines = {"Origin": origin, "Host": host, **(headers or {})}

    def header(name: str) -> list[str]:
        value = lines.get(name)
        return [] if value is None else [value]

    return refusal(Settings(**settings), header, socket=socket, peer=peer, tls=tls)


OURS: dict[str, Any] = {"public_url": "https://shop.example"}
PROXY: dict[str, Any] = {"trusted_proxies": "127.0.0.1/32"}
LISTED: dict[str, Any] = {"cors_origins": "https://screen.example, null"}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        # No page, or our own.
        (judged(None), None),
        (judged("http://127.0.0.1:8000"), None),
        (judged("HTTP://LOCALHOST:8000", "localhost:8000"), None),
        (judged("http://[::1]:8000", "[::1]:8000"), None),
        (judged("http://192.168.7.2:8000", "192.168.7.2:8000"), None),
        (judged("http://minipc:8000", "minipc:8000"), None),
        (judged("http://minipc.local:8000", "minipc.local:8000"), None),
        (judged("http://minipc", "minipc"), None),
        (judged("http://minipc:80", "minipc"), None),
        (judged("https://minipc:8443", "minipc:8443"), None),
        (judged("ws://minipc:8000", "minipc:8000"), None),
        (judged("http://127.0.0.1:8000/"), None),
        (judged("https://shop.example", "10.0.0.5:8000", **OURS), None),
        (judged("https://shop.example:443", "10.0.0.5:8000", **OURS), None),
        # Behind a proxy that changes Host, or leaves its port out.
        (judged("https://minipc:8000", "minipc", **PROXY), None),
        (judged("https://minipc:8000", "backend:8000", headers={"X-Forwarded-Host": "minipc:8000"}, **PROXY), None),
        (judged("https://minipc:8000", "backend:8000", headers={"X-Forwarded-Host": "minipc:8000"}), FOREIGN_ORIGIN),
        # Listed.
        (judged("https://screen.example", **LISTED), None),
        (judged("https://SCREEN.example", **LISTED), None),
        (judged("null", **LISTED), None),
        (judged(EVIL, cors_origins="*"), None),
        # What small carts send.
        (judged("file://", headers={"User-Agent": "arduino-WebSocket-Client"}), None),
        (judged("file://"), None),
        # Everybody else.
        (judged(EVIL), FOREIGN_ORIGIN),
        (judged("null"), FOREIGN_ORIGIN),
        (judged(""), FOREIGN_ORIGIN),
        (judged("http://127.0.0.1:3000"), FOREIGN_ORIGIN),
        (judged("http://127.0.0.1"), FOREIGN_ORIGIN),
        (judged("http://localhost:8000"), FOREIGN_ORIGIN),
        (judged("http://minipc:3000", "minipc"), FOREIGN_ORIGIN),
        (judged("http://127.0.0.1:8000.evil.example"), FOREIGN_ORIGIN),
        (judged("http://127.0.0.1:8000@evil.example"), FOREIGN_ORIGIN),
        (judged("http://evil.example/http://127.0.0.1:8000"), FOREIGN_ORIGIN),
        (judged(f"http://127.0.0.1:8000,{EVIL}"), FOREIGN_ORIGIN),
        (judged("http://[::1"), FOREIGN_ORIGIN),
        (judged("127.0.0.1:8000"), FOREIGN_ORIGIN),
        (judged("https://screen.example.evil.example", **LISTED), FOREIGN_ORIGIN),
        (judged("http://shop.example", "10.0.0.5:8000", **OURS), FOREIGN_ORIGIN),
        (judged("file://", headers={"User-Agent": "Mozilla/5.0 (X11)"}), FOREIGN_ORIGIN),
        (judged("chrome-extension://abcdef"), FOREIGN_ORIGIN),
        # A name of somebody else that was pointed at us.
        (judged("http://evil.example:8000", "evil.example:8000"), FOREIGN_HOST),
        (judged("http://evil.example:8000", "evil.example:8000", tls=True), None),
        (judged("http://shop.example:8000", "shop.example:8000", **OURS), None),
        (judged("https://screen.example:8000", "screen.example:8000", **LISTED), None),
        (judged(None, "evil.example:8000", socket=False), FOREIGN_HOST),
        (judged(None, "evil.example:8000", socket=False, tls=True), None),
        (judged(None, "evil.example:8000"), None),  # browsers say their Origin with every socket
        (judged(None, "minipc.local:8000", socket=False), None),
        (judged(None, "192.168.7.2", socket=False), None),
        (judged(None, None, socket=False), None),
        # Without Origin browsers say where a request comes from, if the way is safe.
        (judged(socket=False, headers={"Sec-Fetch-Site": "none"}), None),
        (judged(socket=False, headers={"Sec-Fetch-Site": "same-origin"}), None),
        (judged(socket=False, headers={"Sec-Fetch-Site": "cross-site"}), FOREIGN_ORIGIN),
        (judged(socket=False, headers={"Sec-Fetch-Site": "same-site"}), FOREIGN_ORIGIN),
        (judged(socket=False, headers={"Sec-Fetch-Site": "cross-site", "Referer": f"{EVIL}/x"}), FOREIGN_ORIGIN),
        (judged(socket=False, headers={"Sec-Fetch-Site": "cross-site", "Referer": "http://["}), FOREIGN_ORIGIN),
        (judged(socket=False, headers={"Sec-Fetch-Site": "cross-site", "Referer": "https://screen.example/"}, **LISTED),
         None),
    ],
)  # fmt: skip
def test_f56_a_page_is_let_in_that_is_ours_or_listed_and_no_other(asked: str | None, said: str | None) -> None:
    assert asked == said


# At the doors


@pytest.mark.parametrize("origin", [EVIL, "null", "http://127.0.0.1:1"])
async def test_f56_a_foreign_page_opens_no_cart(opening: OpenShop, origin: str) -> None:
    async with opening(**KEYLESS) as shop:
        await shop.add_cart(1)
        assert await cart_refused(shop, headers={"Origin": origin}) == (403, None)
        assert (await shop.cart_row()).link_epoch == 0
        for own in ({}, {"Origin": shop.url}):
            assert (await connect(shop, headers=own)).status == 101


async def test_f56_a_key_is_proof_whatever_page_sends_it(opening: OpenShop) -> None:
    """A cart may be a page itself, in a kiosk; nobody else's page knows its key."""
    async with opening(**KEYLESS) as shop:
        await shop.add_cart(1)
        key = shop.keys[1]
        assert (await connect(shop, headers={"Origin": EVIL, "X-API-Key": key})).status == 101
        assert (await connect(shop, f"/ws/hardware/1?key={key}", {"Origin": EVIL})).status == 101
        assert await cart_refused(shop, "/ws/hardware/1?key=wrong", {"Origin": EVIL}) == (403, None)


async def test_f56_a_foreign_page_gets_no_qr_no_stream_and_no_session(opening: OpenShop) -> None:
    async with opening(**KEYLESS) as shop:
        await shop.furnish()
        session = await shop.start(await shop.shopper())
        before = await shop.commands()
        for headers in ({"Origin": EVIL}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
            for path in ("/customer-session/qr/1", "/sse/1"):
                answer = await shop.http.get(path, headers=headers)
                assert refused(answer, 403)["code"] == "foreign_origin"
        assert refused(await shop.http.get("/sse/1", headers={"Host": "evil.example"}), 403)
        assert await socket_refusal(shop, session, {"Origin": EVIL}) == (403, "foreign_origin")
        assert await shop.commands() == before
        async with stream(shop, "/sse/1", {"Origin": shop.url}) as it:
            assert await it.event() is not None


async def test_f56_a_foreign_page_says_and_reads_nothing_of_a_session(opening: OpenShop) -> None:
    """A browser sends a text to anybody, unasked, and here a text is JSON (F62)."""
    async with opening(**KEYLESS) as shop:
        await shop.furnish()
        shopper = await shop.shopper()
        session = await shop.start(shopper)
        said = f'{{"session_id": {session}, "satisfaction": 1}}'.encode()
        foreign, ours = {"Origin": EVIL, "Content-Type": "text/plain"}, {"Origin": shop.url}
        refused(await shop.http.post("/feedback/", content=said, headers=foreign), 403)
        refused(await shop.http.get(f"/feedback/session/{session}", headers=foreign), 403)
        refused(await shop.http.get(f"/feedback/session/{session}", headers=ours), 404)
        for page in (ours, foreign | shopper):
            assert (await shop.http.post("/feedback/", content=said, headers=page)).status_code == 200


async def test_f56_a_token_or_key_is_proof_at_these_doors_too(opening: OpenShop) -> None:
    async with opening(**KEYLESS) as shop:
        await shop.furnish()
        shopper = await shop.shopper()
        session = await shop.start(shopper)
        operator = await shop.shopper("boss@example.com", operator=True)
        for proof in (shop.cart_headers(), operator):
            assert (await shop.http.get("/customer-session/qr/1", headers={**proof, "Origin": EVIL})).status_code != 403
        token = shopper["Authorization"].removeprefix("Bearer ")
        async with screen(shop, session, {"Origin": EVIL}, f"?token={token}") as it:
            assert (await it.hears())["type"] == "cart-updated"
        async with screen(shop, session, {"Origin": EVIL, **shopper}) as it:
            assert (await it.hears())["type"] == "cart-updated"
        assert await socket_refusal(shop, session, {"Origin": EVIL}, "?token=rubbish") == (401, "bad_token")


async def test_f56_a_listed_page_is_a_screen(opening: OpenShop) -> None:
    async with opening(**KEYLESS, cors_origins="https://screen.example") as shop:
        await shop.furnish()
        session = await shop.start(await shop.shopper())
        page = {"Origin": "https://screen.example"}
        assert (await shop.http.get("/customer-session/qr/1", headers=page)).status_code == 200
        async with screen(shop, session, page) as it:
            assert (await it.hears())["type"] == "cart-updated"


async def test_f56_a_foreign_page_cannot_use_a_screens_cookie(opening: OpenShop) -> None:
    """Browsers send even a strict cookie for a page of another port of the same machine."""
    async with opening(offline_carts="accept") as shop:
        await shop.furnish()
        assert (await shop.http.post("/screen/1", json={"key": screen_key_of(1)})).status_code == 200
        before = await shop.commands()
        for headers in ({"Origin": "http://127.0.0.1:3000"}, {"Sec-Fetch-Site": "same-site"}):
            for path in ("/customer-session/qr/1", "/sse/1"):
                assert refused(await shop.http.get(path, headers=headers), 403)["code"] == "foreign_origin"
        assert await shop.commands() == before
        page = {"Origin": shop.url, "Sec-Fetch-Site": "same-origin"}
        assert (await shop.http.get("/customer-session/qr/1", headers=page)).status_code == 200


async def test_f56_where_a_credential_is_needed_anyway_pages_are_not_looked_at(shop: Shop) -> None:
    assert await cart_refused(shop, headers={"Origin": EVIL}) == (401, None)
    refused(await shop.http.get("/customer-session/qr/1", headers={"Origin": EVIL}), 401)
    assert (await connect(shop, headers={**shop.cart_headers(), "Origin": EVIL})).status == 101
