"""F69: a request that is on its way while the server stops is answered, and its connection ends with the answer."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from duckycart import server
from duckycart.testing.waiting import PATIENCE, until
from tests.conftest import OpenShop
from tests.world import Shop

pytestmark = pytest.mark.any_store

ASK = b"GET /healthz HTTP/1.1\r\nHost: shop\r\n\r\n"


@pytest.fixture
async def shop(opening: OpenShop, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shop]:
    """One that gives its clients as much time as a test needs."""
    monkeypatch.setattr(server, "CLOSE_SECONDS", PATIENCE)
    async with opening() as shop:
        await shop.furnish()
        yield shop


async def answer(reader: asyncio.StreamReader) -> bytes:
    """The head of the next one; its body is read too."""
    async with asyncio.timeout(PATIENCE):
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        (length,) = [line.split(b": ")[1] for line in head.split(b"\r\n") if line.startswith(b"content-length: ")]
        await reader.readexactly(int(length))
    return head


async def stop(shop: Shop) -> None:
    await shop.http.aclose()
    shop.server.should_exit = True
    await until(lambda: shop.inside.connector.draining)


@pytest.mark.parametrize("before", [b"", ASK, ASK[:20]], ids=["a new connection", "a kept one", "half a request"])
async def test_f69_a_request_that_comes_while_the_server_stops_is_answered(shop: Shop, before: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", shop.port)
    writer.write(before)
    if before == ASK:
        assert b"connection: close" not in await answer(reader)
    await until(lambda: len(shop.server.server_state.connections) == 1)
    await stop(shop)
    writer.write(ASK[len(before) % len(ASK) :])
    head = await answer(reader)
    assert head.startswith(b"http/1.1 200")
    assert b"connection: close" in head
    assert await reader.read() == b""
    writer.close()


async def test_f69_what_is_in_flight_is_answered_and_its_connection_ends(shop: Shop) -> None:
    """It waits for the cart's receipt, which never comes."""
    async with shop.cart() as cart:
        await shop.online()
        reader, writer = await asyncio.open_connection("127.0.0.1", shop.port)
        writer.write(f"GET /customer-session/qr/1 HTTP/1.1\r\nHost: x\r\nX-API-Key: {shop.keys[1]}\r\n\r\n".encode())
        await cart.recv()
        await stop(shop)
        head = await answer(reader)
        assert head.startswith(b"http/1.1 200")
        writer.close()
