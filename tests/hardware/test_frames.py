"""What an open connection bears, and what ends it. Whatever one cart sends, another does not notice (F25)."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator
from itertools import count

import pytest
from websockets.frames import Frame, Opcode

from duckycart.guards.frames import FLOOD_FRAMES
from duckycart.hardware import socket as hardware_socket
from duckycart.hardware.ending import CLOSES, Ended
from duckycart.hardware.socket import MAX_EARLY, MAX_UNREAD, HardwareSocket
from duckycart.testing.cart import CartConnection
from duckycart.testing.waiting import until
from tests.hardware.helpers import GENERATE_QR, connect, heard, raw, refused, writer_blocked
from tests.world import Shop

pytestmark = pytest.mark.any_store


def frame(opcode: Opcode, data: bytes, *, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=True)


@pytest.fixture
async def neighbour(shop: Shop) -> AsyncIterator[CartConnection]:
    """Another cart; at the end of the test it is still served."""
    await shop.add_cart(2)
    cart = await raw(shop, 2)
    yield cart
    await shop.qr(2)
    await heard(cart, GENERATE_QR)
    assert await shop.settled(2) == ["received"]
    assert cart.closed is None


async def test_only_the_four_commands_with_two_fields_and_control_frames_are_on_the_wire(shop: Shop) -> None:
    shopper = await shop.shopper()
    cart = await raw(shop)
    session_id = await shop.start(shopper)
    await shop.add(session_id)
    payment = (await shop.create_payment(session_id, shopper)).json()
    await shop.press(payment["payment_url"])
    await shop.settled()
    shop.clock.move(16)
    shop.tick()
    await until(lambda: len(cart.frames) == 9)
    assert [json.loads(text) for text in cart.texts] == [
        {"type": "generate_qr", "data": None},
        {"type": "session_started", "data": session_id},
        {"type": "payment_created", "data": session_id},
        {"type": "end_session", "data": session_id},
    ]
    assert [kept.opcode for kept in cart.frames] == [Opcode.TEXT, Opcode.PING] * 4 + [Opcode.PING]
    assert cart.pings == [b"1", b"2", b"3", b"4", b"4"]
    assert all(kept.fin for kept in cart.frames)


async def test_no_greeting(shop: Shop) -> None:
    cart = await raw(shop)
    await shop.online()
    assert cart.frames == []
    assert cart.response is not None
    assert "Sec-WebSocket-Extensions" not in cart.response.headers


async def test_a_cart_s_ping_is_answered(shop: Shop) -> None:
    async with shop.cart() as cart:
        await (await cart.ping(b"20 s"))


@pytest.mark.parametrize(
    "data",
    [
        frame(Opcode.TEXT, b'{"type": "end_session", "data": 1}'),
        frame(Opcode.BINARY, b"\x00" * 4096),
        frame(Opcode.TEXT, b"", fin=False) + frame(Opcode.CONT, b"end"),
        frame(Opcode.PONG, b"17"),
        frame(Opcode.PONG, b""),
        frame(Opcode.TEXT, b"\xff\xfe"),
    ],
    ids=count(1),  # frames carry a mask of chance
)
async def test_f25_what_a_cart_sends_is_ignored(shop: Shop, neighbour: CartConnection, data: bytes) -> None:
    cart = await raw(shop)
    cart.send(data * 3)
    await shop.qr()
    await heard(cart, GENERATE_QR)
    assert await shop.settled() == ["received"]
    assert cart.closed is None


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(Opcode.TEXT, b"x" * 4097), 1009),
        (frame(Opcode.TEXT, b"x" * 4096, fin=False) + frame(Opcode.CONT, b"x"), 1009),
        (b"\x81\xff" + struct.pack("!Q", 2**62) + b"mask", 1009),
        (frame(Opcode.PING, b"") * (FLOOD_FRAMES + 1), 1008),
        (frame(Opcode.PONG, b"1") * (FLOOD_FRAMES + 1), 1008),
        (frame(Opcode.TEXT, b"x") * (FLOOD_FRAMES + 1), 1008),
        (b"\x81\x01x", 1002),
        (b"\x83\x80mask", 1002),
        (b"\xf1\x80mask", 1002),
        (b"\x89\xfe\x00\x7emask" + b"x" * 126, 1002),
        (frame(Opcode.CONT, b"x"), 1002),
        (frame(Opcode.TEXT, b"x", fin=False) + frame(Opcode.TEXT, b"y"), 1002),
        (b"\x09\x80mask", 1002),
        (frame(Opcode.CLOSE, b"\x03\xe8\xff"), 1007),
        (frame(Opcode.CLOSE, b"\x00"), 1002),
        (frame(Opcode.CLOSE, b"\x03\xe8bye"), 1000),
    ],
    ids=count(1),
)
async def test_f25_what_ends_the_connection(
    shop: Shop, neighbour: CartConnection, data: bytes, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware_socket, "CLOSE_SECONDS", 0.2)  # whoever floods answers no close frame
    cart = await raw(shop)
    await shop.online()
    cart.send(data)
    await cart.gone()
    assert cart.closed is not None
    assert cart.closed[0] == code
    await shop.offline()


async def test_f25_bytes_that_are_no_frames_at_all(shop: Shop, neighbour: CartConnection) -> None:
    cart = await raw(shop)
    cart.send(b"GET / HTTP/1.1\r\n\r\n" * 50)
    await cart.gone()
    await shop.offline()


async def test_f24_a_reader_that_stopped_reading_is_cut_and_memory_is_bounded(shop: Shop) -> None:
    cart = await raw(shop)
    connection = shop.inside.dispatch.links.current(1)
    assert isinstance(connection, HardwareSocket)
    assert connection._transport is not None
    cart.stop_reading()
    most = 0
    while not connection.gone:  # the kernel's buffers first, then ours: what a dead reader would fill in hours
        connection._transport.write(b"\x8a\x7d" + b"x" * 125)
        most = max(most, connection._transport.get_write_buffer_size())
    assert most <= MAX_UNREAD + 127  # the write that went over it
    await shop.offline()
    assert len(shop.inside.dispatch.links) == 0


async def test_f24_pause_writing_closes_the_link_at_once(shop: Shop) -> None:
    await raw(shop)
    connection = shop.inside.dispatch.links.current(1)
    assert isinstance(connection, HardwareSocket)
    connection.pause_writing()
    assert connection.gone
    await shop.qr()
    await shop.offline()
    assert await shop.states() == ["queued"]


async def test_bytes_before_the_answer_wait_and_are_processed_after_it(shop: Shop) -> None:
    with writer_blocked(shop):
        opening = asyncio.create_task(connect(shop))
        await until(lambda: shop.inside.dispatch.links.claiming_count)
        (connection,) = shop.inside.dispatch.links.of(1)
        assert isinstance(connection, HardwareSocket)
        early = frame(Opcode.PING, b"early")
        connection.data_received(early[:3])
        connection.data_received(early[3:])
    cart = await opening
    assert cart.status == 101
    await shop.qr()
    await heard(cart, GENERATE_QR)
    await until(lambda: [kept.data for kept in cart.frames if kept.opcode is Opcode.PONG] == [b"early"])


async def test_f24_too_many_bytes_before_the_answer_are_cut(shop: Shop) -> None:
    with writer_blocked(shop):
        opening = asyncio.create_task(connect(shop))
        await until(lambda: shop.inside.dispatch.links.claiming_count)
        (connection,) = shop.inside.dispatch.links.of(1)
        assert isinstance(connection, HardwareSocket)
        connection.data_received(b"x" * (MAX_EARLY + 1))
        await (await opening).gone()
    await until(lambda: not shop.inside.dispatch.background)
    assert (await shop.cart_row()).link_node is None


# Every end has its own timer


async def test_a_cart_that_never_answers_our_close_is_cut(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware_socket, "CLOSE_SECONDS", 0.05)
    cart = await raw(shop, answers=False)
    connection = shop.inside.dispatch.links.current(1)
    assert connection is not None
    connection.close(Ended.WITHDRAWN)
    await cart.gone()
    assert cart.closed == CLOSES[Ended.WITHDRAWN]
    await shop.offline()


async def test_a_half_closed_connection_that_reads_nothing_is_cut(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware_socket, "CLOSE_SECONDS", 0.05)
    cart = await raw(shop, answers=False)
    connection = shop.inside.dispatch.links.current(1)
    assert isinstance(connection, HardwareSocket)
    assert connection._transport is not None
    connection._transport.set_write_buffer_limits(high=2**30)
    cart.stop_reading()
    while not connection._transport.get_write_buffer_size():
        connection._transport.write(b"\x8a\x7d" + b"x" * 125)
    cart.end_of_stream()
    await shop.offline()


async def test_a_refused_connection_that_is_kept_open_is_cut(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware_socket, "CLOSE_SECONDS", 0.05)
    assert await refused(shop, headers={}) == (401, None)
    await until(lambda: not shop.server.server_state.connections)


async def test_an_error_of_ours_ends_one_connection_and_no_other(shop: Shop, neighbour: CartConnection) -> None:
    await raw(shop)
    connection = shop.inside.dispatch.links.current(1)
    assert isinstance(connection, HardwareSocket)
    assert connection._protocol is not None
    connection._protocol.send_text = None  # type: ignore[assignment,method-assign]
    await shop.qr()
    await shop.offline()
