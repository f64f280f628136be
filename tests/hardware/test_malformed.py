"""Requests that are no proper handshake: each is answered or cut, and none leaves anything behind (F25)."""

import asyncio

import pytest

from duckycart.hardware.socket import MAX_ASKED
from duckycart.testing.waiting import PATIENCE, until
from tests.hardware.helpers import heard, raw
from tests.world import Shop

pytestmark = pytest.mark.any_store

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
GOOD = {
    "Host": "shop",
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
}


def request(line: str = "GET /ws/hardware/1 HTTP/1.1", **changed: str | None) -> bytes:
    """A handshake with some headers changed or left out (`None`)."""
    headers = {**GOOD, "X-API-Key": "key-of-cart-1-0123456789abcdef0123"}
    for name, value in changed.items():
        headers.pop(name.replace("_", "-"), None)
        if value is not None:
            headers[name.replace("_", "-")] = value
    return "\r\n".join([line, *(f"{name}: {value}" for name, value in headers.items()), "", ""]).encode("latin-1")


async def answer(shop: Shop, data: bytes) -> bytes:
    """All the server says until it closes the connection, which it must do by itself."""
    reader, writer = await asyncio.open_connection("127.0.0.1", shop.port)
    writer.write(data)
    try:
        async with asyncio.timeout(PATIENCE):
            return await reader.read()
    finally:
        writer.close()


async def nothing_left(shop: Shop) -> None:
    await until(lambda: not shop.server.server_state.connections)
    assert len(shop.inside.dispatch.links) == 0
    assert shop.inside.connector.handshaking == 0


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request(Sec_WebSocket_Key="short"), 400),
        (request(Sec_WebSocket_Key="?" * 24), 400),
        (request(Sec_WebSocket_Key=None), 400),
        (request(Sec_WebSocket_Version="12"), 426),
        (request(Sec_WebSocket_Version=None), 400),
        (request("POST /ws/hardware/1 HTTP/1.1", Connection="Upgrade, close"), 405),
        (request(X_Long="x" * MAX_ASKED), 400),
        (request(**{f"X_{number}": "1" for number in range(2500)}), 400),
        (request("GET /ws/hardware/1?" + "x" * MAX_ASKED + " HTTP/1.1"), 400),
        (request("GET * HTTP/1.1"), 0),
    ],
)
async def test_f25_a_malformed_handshake_is_answered_and_closed(shop: Shop, data: bytes, status: int) -> None:
    answered = await answer(shop, data)
    if status:
        assert answered.startswith(b"HTTP/1.1 %d " % status)
    await nothing_left(shop)


@pytest.mark.parametrize("data", [request(Upgrade=None, Connection="close"), request(Connection="close")])
async def test_f58_without_an_upgrade_it_is_plain_http_and_told_so(shop: Shop, data: bytes) -> None:
    assert (await answer(shop, data)).startswith(b"HTTP/1.1 426 ")
    await nothing_left(shop)


@pytest.mark.parametrize("path", ["/", "/ws/hardwar", "/ws/hardwares/1", "/ws/hardware%2f1", "/ws/7x"])
async def test_other_paths_are_not_for_carts(shop: Shop, path: str) -> None:
    assert (await answer(shop, request(f"GET {path} HTTP/1.1"))).startswith(b"HTTP/1.1 403 ")
    await nothing_left(shop)


async def test_f06_a_malformed_handshake_for_another_path_is_forgotten_as_well(shop: Shop) -> None:
    assert (await answer(shop, request("GET /ws/7 HTTP/1.1", Sec_WebSocket_Key="short"))).startswith(b"HTTP/1.1 400 ")
    await nothing_left(shop)


async def test_http_and_carts_share_the_port_and_even_a_connection(shop: Shop) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", shop.port)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: shop\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
    writer.write(request())
    await shop.online()
    writer.close()
    await shop.offline()
    await nothing_left(shop)


async def test_a_cart_that_leaves_in_mid_handshake_leaves_nothing(shop: Shop) -> None:
    for _ in range(3):
        _, writer = await asyncio.open_connection("127.0.0.1", shop.port)
        writer.write(request())
        writer.transport.abort()
    await nothing_left(shop)
    await until(lambda: not shop.inside.dispatch.background)
    assert (await shop.cart_row()).link_node is None
    await heard(await raw(shop))
