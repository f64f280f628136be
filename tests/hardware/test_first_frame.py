"""What a socket or stream says first comes a moment after the answer that opened it (F61)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from duckycart.testing.waiting import PATIENCE, until
from tests.hardware.helpers import GENERATE_QR, heard, raw, said
from tests.hardware.test_malformed import GOOD
from tests.process.world import KEY, Served
from tests.world import Shop

pytestmark = pytest.mark.any_store

LONG = 3600.0  # seconds
PING = b"\x89\x85\x00\x00\x00\x00early"  # a client's, with an empty mask
PONG = b"\x8a\x05early"
TEXT = b"\x81"


@asynccontextmanager
async def asked(port: int, path: str, then: bytes = b"") -> AsyncIterator[asyncio.StreamReader]:
    """What comes behind the head of the answer; `then` is sent right behind the request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = "".join(f"{name}: {value}\r\n" for name, value in GOOD.items())
    writer.write(f"GET {path} HTTP/1.1\r\n{head}\r\n".encode() + then)
    try:
        async with asyncio.timeout(PATIENCE):
            assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
            yield reader
    finally:
        writer.transport.abort()


@pytest.fixture
def long_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("duckycart.hardware.socket.FIRST_FRAME_SECONDS", LONG)


async def behind(shop: Shop) -> None:
    """A QR that the cart did not hear of."""
    cart = await raw(shop, answers=False)
    await shop.qr()
    cart.cut()
    await shop.offline()


async def test_f61_nothing_comes_with_the_answer_but_the_answer(shop: Shop, long_moment: None) -> None:
    await behind(shop)
    async with asked(shop.port, f"/ws/hardware/1?key={KEY}", PING) as reader:
        assert await reader.readexactly(len(PONG)) == PONG  # the connection lives, and has been served
        await shop.online()
        assert reader._buffer == b""  # type: ignore[attr-defined]


async def test_f61_the_first_frame_comes_behind_what_the_cart_asked_before(shop: Shop) -> None:
    await behind(shop)
    async with asked(shop.port, f"/ws/hardware/1?key={KEY}", PING) as reader:
        assert await reader.readexactly(len(PONG) + 1) == PONG + TEXT


async def test_f61_a_screens_first_message_comes_behind_what_it_asked_before(shop: Shop) -> None:
    async with shop.cart():
        shopper = await shop.shopper()
        session_id = await shop.start(shopper)
    token = shopper["Authorization"].removeprefix("Bearer ")
    async with asked(shop.port, f"/ws/{session_id}?token={token}", PING) as reader:
        assert await reader.readexactly(len(PONG) + 1) == PONG + TEXT


async def test_f61_a_streams_first_event_does_not_come_with_its_head(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("duckycart.channels.stream.FIRST_FRAME_SECONDS", LONG)
    reader, writer = await asyncio.open_connection("127.0.0.1", shop.port)
    writer.write(b"GET /sse/1 HTTP/1.1\r\nHost: shop\r\nX-API-Key: %b\r\n\r\n" % KEY.encode())
    async with asyncio.timeout(PATIENCE):
        await reader.readuntil(b"\r\n\r\n")
    assert (await shop.http.get("/healthz")).status_code == 200  # the server has gone on
    assert reader._buffer == b""  # type: ignore[attr-defined]
    writer.transport.abort()


# What happens in that moment


async def test_f61_what_is_offered_in_that_moment_waits_behind_the_catch_up(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("duckycart.hardware.socket.FIRST_FRAME_SECONDS", 0.2)
    await behind(shop)
    cart = await raw(shop)
    session_id = await shop.start(await shop.shopper())
    await until(lambda: said("session_started", session_id) in cart.texts)
    assert set(cart.texts[:-1]) == {GENERATE_QR}
    assert (await shop.settled())[-1] == "received"


async def test_f61_a_cart_that_dies_in_that_moment_hears_it_on_its_next_connection(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await behind(shop)
    with monkeypatch.context() as patched:
        patched.setattr("duckycart.hardware.socket.FIRST_FRAME_SECONDS", LONG)
        cart = await raw(shop)
        cart.cut()
        await shop.offline()
    again = await raw(shop)
    await heard(again, GENERATE_QR)
    assert cart.texts == []


async def test_f61_a_cart_that_is_taken_over_in_that_moment_hears_only_that(shop: Shop, long_moment: None) -> None:
    await behind(shop)
    first = await raw(shop)
    await raw(shop)
    await until(lambda: first.closed)
    assert first.closed == (4409, "a newer connection of this cart took over")
    assert first.texts == []


async def test_f61_in_a_real_process_too(served: Served) -> None:
    shopper = served.furnish()
    await served.start(DUCKYCART_OFFLINE_CARTS="accept")
    qr = await served.ask("GET", "/customer-session/qr/1", headers={"X-API-Key": KEY})
    assert qr is not None
    assert await served.ask("POST", "/customer-session/scan-qr", json={"token": qr.json()}, headers=shopper)
    async with asked(served.port, f"/ws/hardware/1?key={KEY}", PING) as reader:
        assert await reader.readexactly(len(PONG) + 1) == PONG + TEXT
    async with asked(served.port, f"/ws/1?token={shopper['Authorization'][7:]}", PING) as reader:
        assert await reader.readexactly(len(PONG) + 1) == PONG + TEXT
