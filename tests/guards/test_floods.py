"""What one peer sends without end costs the others next to nothing, on carts' and on screens' sockets (F46)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side

from duckycart.guards.frames import FLOOD_FRAMES
from duckycart.testing.cart import CartConnection
from duckycart.testing.waiting import until
from tests.hardware.helpers import GENERATE_QR, heard, raw
from tests.world import Shop

MANY = 50_000
FLOODS = {
    "empty pongs": Frame(Opcode.PONG, b"").serialize(mask=True),
    "pongs": Frame(Opcode.PONG, b"17").serialize(mask=True),
    "empty pings": Frame(Opcode.PING, b"").serialize(mask=True),
    "texts": Frame(Opcode.TEXT, b"x").serialize(mask=True),
    "fragments": Frame(Opcode.CONT, b"", fin=False).serialize(mask=True),
}
SOCKETS = ["cart", "screen"]


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[Frame]:
    """Every frame that the server parses from now on."""
    frames: list[Frame] = []
    parse = Protocol.recv_frame

    def counting(self: Protocol, frame: Frame) -> None:
        if self.side is Side.SERVER:
            frames.append(frame)
        parse(self, frame)

    monkeypatch.setattr(Protocol, "recv_frame", counting)
    return frames


@asynccontextmanager
async def a_socket(shop: Shop, kind: str) -> AsyncIterator[CartConnection]:
    if kind == "cart":
        peer = await raw(shop, 2)
    else:
        shopper = await shop.shopper()
        session_id = await shop.start(shopper, 2)
        peer = await CartConnection.open(shop.endpoint, f"/ws/{session_id}", shopper)
    assert peer.status == 101
    yield peer
    peer.cut()


@pytest.mark.parametrize("kind", SOCKETS)
@pytest.mark.parametrize("frame", FLOODS.values(), ids=FLOODS)
async def test_f46_of_a_flood_no_frame_is_parsed_after_the_one_too_many(
    shop: Shop, parsed: list[Frame], kind: str, frame: bytes
) -> None:
    neighbour = await raw(shop)
    async with a_socket(shop, kind) as peer:
        parsed.clear()
        if frame is FLOODS["fragments"]:
            peer.send(Frame(Opcode.TEXT, b"", fin=False).serialize(mask=True))
        peer.send(frame * MANY)
        await peer.gone()
        assert peer.closed is not None
        assert peer.closed[0] == 1008
        assert len(parsed) <= FLOOD_FRAMES + 1
    await shop.qr()
    await heard(neighbour, GENERATE_QR)
    assert neighbour.closed is None


@pytest.mark.parametrize("kind", SOCKETS)
async def test_f46_a_flood_has_its_turn_and_no_more(shop: Shop, parsed: list[Frame], kind: str) -> None:
    """Of one read 16 frames are parsed in a turn of the event loop."""
    async with a_socket(shop, kind) as peer:
        parsed.clear()
        turns: list[int] = []

        def count() -> None:
            turns.append(len(parsed))
            if peer.closed is None:
                asyncio.get_running_loop().call_soon(count)

        count()
        peer.send(FLOODS["empty pongs"] * MANY)
        await peer.gone()
        steps = [after - before for before, after in pairwise(turns)]
        assert max(steps) <= 32, "two turns at the most, between two looks"


@pytest.mark.parametrize("kind", SOCKETS)
async def test_f46_as_many_frames_as_a_peer_may_send_are_served(shop: Shop, kind: str) -> None:
    async with a_socket(shop, kind) as peer:
        peer.send(FLOODS["empty pings"] * FLOOD_FRAMES)
        await until(lambda: sum(frame.opcode is Opcode.PONG for frame in peer.frames) == FLOOD_FRAMES)
        assert peer.closed is None


@pytest.mark.parametrize("kind", SOCKETS)
async def test_f46_frames_that_dribble_in_count_as_frames(shop: Shop, parsed: list[Frame], kind: str) -> None:
    async with a_socket(shop, kind) as peer:
        parsed.clear()
        for byte in FLOODS["pongs"] * (FLOOD_FRAMES * 2):
            peer.send(bytes([byte]))
        await peer.gone()
        assert peer.closed is not None
        assert peer.closed[0] == 1008
        assert len(parsed) <= FLOOD_FRAMES + 1


@pytest.mark.parametrize("kind", SOCKETS)
async def test_f46_after_a_close_nothing_is_parsed(shop: Shop, parsed: list[Frame], kind: str) -> None:
    async with a_socket(shop, kind) as peer:
        parsed.clear()
        peer.send(Frame(Opcode.CLOSE, b"\x03\xe8").serialize(mask=True) + FLOODS["empty pings"] * MANY)
        await peer.gone()
        assert [frame.opcode for frame in parsed] == [Opcode.CLOSE]
