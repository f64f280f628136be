"""Who sends a request slowly, or never to its end, does not keep a connection for ever."""

import asyncio

import pytest

from duckycart import server
from duckycart.testing.waiting import PATIENCE
from tests.world import Shop

pytestmark = pytest.mark.any_store

WHOLE = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
HALF_A_HEAD = b"GET /healthz HTTP/1.1\r\nHo"
HALF_A_BODY = b"POST /auth/guest HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{"


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(HALF_A_HEAD, id="half a head"),
        pytest.param(HALF_A_BODY, id="half a body"),
        pytest.param(WHOLE + HALF_A_HEAD, id="a whole request, then half a head"),
        pytest.param(WHOLE + HALF_A_BODY, id="a whole request, then half a body"),
    ],
)
async def test_f25_a_request_that_does_not_end_is_ended(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.05)
    monkeypatch.setattr(server, "BODY_SECONDS", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", shop.port)
    writer.write(sent)
    async with asyncio.timeout(PATIENCE):
        answer = await reader.read()  # until the server closes
    assert answer.count(b"HTTP/1.1 200") == sent.startswith(WHOLE)
    writer.close()


async def test_f25_a_request_head_has_a_bound(shop: Shop) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", shop.port)
    writer.write(b"GET /healthz HTTP/1.1\r\nX: " + b"x" * server.MAX_HEAD * 2)
    async with asyncio.timeout(PATIENCE):
        assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
    writer.close()


async def test_a_socket_is_not_taken_for_a_request_that_does_not_end(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.05)
    monkeypatch.setattr(server, "BODY_SECONDS", 0.05)
    async with shop.cart() as cart:
        reader, writer = await asyncio.open_connection("127.0.0.1", shop.port)
        async with asyncio.timeout(PATIENCE):
            assert await reader.read() == b""  # a silent one, opened later, is closed by now
        writer.close()
        await shop.qr()
        assert "generate_qr" in str(await cart.recv())
