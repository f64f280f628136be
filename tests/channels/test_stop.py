"""The server stops: screens are told, and nobody waits for one."""

import logging
from unittest import mock

import pytest
from websockets.exceptions import ConnectionClosed

from duckycart.lifecycle.news import News, NewsKind
from tests.api.doors import begin
from tests.channels.world import deaf, listeners, message, screen, stream
from tests.conftest import OpenShop
from tests.world import until

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
            (topic,) = shop.house.channels._topics.values()
            (listener,) = topic.listeners
            for _ in range(4):
                shop.house.channels.tell(NEWS)
            await until(lambda: listener._saying is not None)  # it waits to be read
    assert not any("timeout graceful shutdown exceeded" in record.getMessage() for record in caplog.records)
    unread.transport.abort()
