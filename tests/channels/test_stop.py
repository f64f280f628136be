"""The server stops: screens are told, and nobody waits for one."""

import asyncio
import logging
from typing import Any
from unittest import mock

import pytest
from websockets.exceptions import ConnectionClosed

from duckycart import server
from duckycart.api import streams
from duckycart.effects import News, NewsKind
from duckycart.testing.waiting import PATIENCE, until
from tests.api.doors import Session, begin
from tests.channels.world import deaf, listeners, message, screen, stream
from tests.conftest import OpenShop
from tests.world import Shop

NEWS = News(NewsKind.ITEM_READ, 1, 1, 9)


async def test_sockets_are_closed_with_1012_and_streams_end(
    opening: OpenShop, caplog: pytest.LogCaptureFixture
) -> None:
    async with opening(offline_carts="accept") as shop:
        await shop.furnish()
        session = await begin(shop)
        async with screen(shop, session.id, session.shopper) as it, stream(shop, "/sse/1", shop.cart_headers()) as its:
            assert await it.hears() == message("cart-updated")
            assert await its.event() is not None
            shop.server.should_exit = True
            assert await its.event() is None
            with pytest.raises(ConnectionClosed):
                await it.hears()
            assert await it.code() == 1012
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_screens_that_do_not_read_hold_up_no_stop(opening: OpenShop, caplog: pytest.LogCaptureFixture) -> None:
    async with opening(offline_carts="accept") as shop:
        await shop.furnish()
        session = await begin(shop)
        unread = await deaf(shop, f"/ws/{session.id}", session.shopper)
        await listeners(shop, 1)
        with mock.patch("duckycart.channels.socket.encode", return_value="x" * 5_000_000):
            (topic,) = shop.inside.channels._topics.values()
            (listener,) = topic.listeners
            for _ in range(4):
                shop.inside.channels.tell(NEWS)
            await until(lambda: listener._writing is not None)  # it waits to be read
    assert not any("timeout graceful shutdown exceeded" in record.getMessage() for record in caplog.records)
    unread.transport.abort()


async def test_f69_a_socket_that_comes_while_the_server_stops_opens_and_is_told_to_come_back(
    shop: Shop, session: Session
) -> None:
    """A fielded screen that is refused once never comes again."""
    shop.inside.channels.stop()
    async with screen(shop, session.id, session.shopper) as it:
        assert await it.hears() == message("cart-updated")
        assert await it.code() == 1012


async def test_f69_a_stream_that_comes_while_the_server_stops_opens_and_ends(shop: Shop, session: Session) -> None:
    """A browser comes again after a stream that ended, and never after a refusal."""
    shop.inside.channels.stop()
    for path, headers in (("/sse/1", shop.cart_headers()), (f"/customer-session/{session.id}/events", session.shopper)):
        async with stream(shop, path, headers) as it:
            assert it.answer.status_code == 200
            assert await it.event() is not None
            assert await it.event() is None


async def test_f69_a_handshake_that_the_stop_overtakes_is_not_refused(
    opening: OpenShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked, go_on = asyncio.Event(), asyncio.Event()
    look = streams._present

    async def slow(*arguments: Any) -> News:
        looked.set()
        await go_on.wait()
        return await look(*arguments)

    monkeypatch.setattr(streams, "_present", slow)
    monkeypatch.setattr(server, "CLOSE_SECONDS", PATIENCE)
    async with opening(offline_carts="accept") as shop:
        await shop.furnish()
        session = await begin(shop)

        async def open_it() -> int | None:
            async with screen(shop, session.id, session.shopper) as it:
                return await it.code()

        opened = asyncio.create_task(open_it())
        await looked.wait()
        await shop.http.aclose()
        shop.server.should_exit = True
        await until(lambda: shop.inside.channels._stopping)
        go_on.set()
        assert await opened == 1012  # it had opened, so it comes back
