"""Any number of listeners: all hear, none disturbs another, and none holds up a cart."""

import asyncio
from unittest import mock

from structlog.testing import capture_logs

from duckycart.channels.channels import HEARTBEAT_SECONDS
from duckycart.channels.listener import MAX_WAITING, End, Listener
from duckycart.effects import News, NewsKind
from duckycart.store.threads import ThreadedStore
from duckycart.testing.cart import CartConnection
from duckycart.testing.furnish import BREAD, MILK
from duckycart.testing.waiting import until
from tests.api.doors import Session
from tests.channels.world import deaf, end, listeners, message, refusal, screen, stream
from tests.world import Shop

UPDATED = message("cart-updated")
NEWS = News(NewsKind.ITEM_READ, 1, 1, 1, MILK)


async def test_f19_all_sockets_of_a_session_hear_and_closing_one_deafens_no_other(shop: Shop, session: Session) -> None:
    async with screen(shop, session.id, session.shopper) as first, screen(shop, session.id, session.shopper) as third:
        async with screen(shop, session.id, session.shopper) as second:
            for one in (first, second, third):
                assert await one.hears() == UPDATED
            await shop.add(session.id, MILK)
            for one in (first, second, third):
                assert await one.hears() == message("cart-updated", MILK)
        await listeners(shop, 2)
        await shop.add(session.id, BREAD)
        for one in (first, third):
            assert await one.hears() == message("cart-updated", BREAD)


async def test_f06_nothing_is_left_of_those_who_went_away(shop: Shop, session: Session) -> None:
    url = f"/customer-session/{session.id}/events"
    for _ in range(10):
        async with screen(shop, session.id, session.shopper), stream(shop, url, session.shopper):
            await listeners(shop, 2)
        cut = await CartConnection.open(shop.endpoint, f"/ws/{session.id}", session.shopper)
        cut.cut()
        await listeners(shop, 0)
    assert shop.inside.channels._topics == {}
    await until(lambda: not shop.server.server_state.tasks)


async def test_f14_listeners_hold_no_database_connection(shop: Shop, session: Session) -> None:
    screens = [await CartConnection.open(shop.endpoint, f"/ws/{session.id}", session.shopper) for _ in range(30)]
    await listeners(shop, 30)
    store = shop.inside.store
    assert isinstance(store, ThreadedStore)
    assert len(store._reader_connections) <= len(store._readers) + 1  # that of the event loop
    await shop.add(session.id)
    await until(lambda: all(len(one.texts) == 2 for one in screens))
    for one in screens:
        one.cut()


async def test_f24_a_screen_that_does_not_read_is_dropped_and_nobody_waits_for_it(shop: Shop, session: Session) -> None:
    async with screen(shop, session.id, session.shopper) as good:
        unread = await deaf(shop, f"/ws/{session.id}", session.shopper)
        await listeners(shop, 2)
        assert await good.hears() == UPDATED
        with mock.patch("duckycart.channels.socket.encode", return_value="x" * 300_000):
            while len(shop.inside.channels) == 2:
                shop.inside.channels.tell(NEWS)
                assert len(await good.connection.recv()) == 300_000
        assert (await shop.add(session.id)).status_code == 200
        assert await good.hears() == message("cart-updated", MILK)
        unread.transport.abort()


async def test_f24_a_stream_that_is_not_read_is_dropped_too(shop: Shop, session: Session) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", shop.port, limit=1024)
    request = f"GET /customer-session/{session.id}/events HTTP/1.1\r\nHost: shop\r\n"
    writer.write(f"{request}Authorization: {session.shopper['Authorization']}\r\n\r\n".encode())
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")

    def told() -> bool:
        shop.inside.channels.tell(NEWS)
        return len(shop.inside.channels) == 0

    with mock.patch("duckycart.api.streams.encode", return_value="x" * 300_000):
        await until(told)
    writer.transport.abort()


async def test_a_listener_keeps_a_bounded_number_of_messages() -> None:
    listener = Listener(0)
    assert [listener.offer(NEWS, 0) for _ in range(MAX_WAITING + 2)] == [False] * MAX_WAITING + [True, False]
    assert listener.end is End.TOO_SLOW


async def test_the_last_word_is_said_once_whoever_says_it_first(shop: Shop, session: Session) -> None:
    """The transition that ended the session, or the sweep that found its end."""
    last = News(NewsKind.PAYMENT_SUCCESSFUL, 1, session.id, 2, final=True)
    async with screen(shop, session.id, session.shopper) as it:
        assert await it.hears() == UPDATED
        shop.inside.channels.tell(last)
        shop.inside.channels.tell(last)
        shop.inside.channels.tell(NEWS)
        assert await it.hears() == message("Payment successful")
        shop.clock.move(61)
        shop.inside.channels.tick()
        assert await it.code() == 1000


async def test_messages_come_in_order_whatever_waits(shop: Shop, session: Session) -> None:
    async with screen(shop, session.id, session.shopper) as it:
        assert await it.hears() == UPDATED
        for barcode in range(1, MAX_WAITING):
            shop.inside.channels.tell(News(NewsKind.ITEM_READ, 1, session.id, 1, barcode))
        assert [(await it.hears())["data"] for _ in range(1, MAX_WAITING)] == list(range(1, MAX_WAITING))


async def test_a_stream_says_in_its_silence_that_it_lives(shop: Shop, session: Session) -> None:
    async with stream(shop, "/sse/2", shop.cart_headers(2)) as it:
        await listeners(shop, 1)
        shop.clock.move(HEARTBEAT_SECONDS - 1)
        shop.inside.channels.tick()
        shop.clock.move(1)
        shop.inside.channels.tick()
        assert await it.event() == (None, {})  # a comment
        assert it.comments == 2, "the hello and one heartbeat"


async def test_garbage_and_huge_frames_of_a_screen_hurt_nobody_else(shop: Shop, session: Session) -> None:
    async with screen(shop, session.id, session.shopper) as good, screen(shop, session.id, session.shopper) as bad:
        assert await good.hears() == UPDATED
        for text in ("hello", "{", "\0"):
            await bad.connection.send(text)
        await bad.connection.send("x" * 5000)
        assert await bad.code() == 1009
        await listeners(shop, 1)
        await shop.add(session.id)
        assert await good.hears() == message("cart-updated", MILK)


async def test_the_socket_that_opens_in_the_moment_of_the_end_hears_it_once(shop: Shop, session: Session) -> None:
    await end(shop, session.id, session.shopper)
    async with screen(shop, session.id, session.shopper) as it:
        await shop.inside.channels.sweep()
        assert await it.hears() == UPDATED
        assert await it.code() == 1000


async def test_f71_why_a_screen_hears_no_more_is_in_the_log(shop: Shop, session: Session) -> None:
    shopper, session_id = session.shopper, session.id
    with capture_logs() as logged:
        async with screen(shop, session_id, shopper) as one:
            await one.hears()
            await one.connection.close(4000)
        await listeners(shop, 0)
        async with stream(shop, f"/customer-session/{session_id}/events", shopper) as other:
            await other.event()
        await listeners(shop, 0)
        async with screen(shop, session_id, shopper) as last:
            await last.hears()
            await end(shop, session_id, shopper)
            shop.clock.move(61)
            shop.inside.channels.tick()
            assert await last.code() == 1000
        await listeners(shop, 0)
        assert (await refusal(shop, session_id, shopper))[0] == 403
    said = [line for line in logged if line["event"] == "screen disconnected"]
    assert [(line["session"], line["reason"], line["close_code"], line["seconds"]) for line in said] == [
        (session_id, "screen_left", 4000, 0),
        (session_id, "screen_left", None, 0),
        (session_id, "session_over", None, 61),
    ]
    assert [line["reason"] for line in logged if line["event"] == "screen refused"] == ["session_over"]
