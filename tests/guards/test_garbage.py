"""Of a connection that is gone nothing waits for a collection, however it went (F45)."""

import asyncio
import gc
import socket
import struct
from collections import Counter
from collections.abc import Iterator
from types import FrameType, TracebackType

import pytest
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from websockets.protocol import Protocol

from duckycart.channels.screen_socket import ScreenSocket
from duckycart.hardware.socket import HardwareSocket
from duckycart.server import BoundedHttp
from duckycart.testing.waiting import until
from tests.world import Shop

CONCERNED = BoundedHttp, RequestResponseCycle, ScreenSocket, HardwareSocket, Protocol, FrameType, TracebackType
ROUNDS = 10

UPGRADE = (
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
)
CART = b"GET /ws/hardware/2 HTTP/1.1\r\nHost: x\r\nX-API-Key: KEY\r\n" + UPGRADE + b"\r\n"
SCREEN = b"GET /ws/SESSION?token=TOKEN HTTP/1.1\r\nHost: x\r\n" + UPGRADE + b"\r\n"
POST = b"POST /cart-items/add HTTP/1.1\r\nHost: x\r\nX-API-Key: KEY\r\nContent-Type: application/json\r\n"

# What is sent, and whether the first bytes of an answer are waited for.
KINDS = {
    "nothing": (b"", False),
    "a whole request": (b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", True),
    "no such path": (b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n", True),
    "no request": (b"\x00\x01\r\n\r\n", True),
    "a refused body": (POST + b"Content-Length: 2\r\n\r\n{}", True),
    "no JSON": (POST + b"Content-Length: 2\r\n\r\n{{", True),
    "too much": (POST + b"Content-Length: 9999999\r\n\r\n", True),
    "half a head": (b"GET /healthz HTTP/1.1\r\nHo", False),
    "half a body": (POST + b"Content-Length: 99\r\n\r\n{", False),
    "half a form": (
        b"POST /auth/login HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 9\r\n\r\nu",
        False,
    ),
    "answers unread": (b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 50, True),
    "a stream": (b"GET /customer-session/SESSION/events?token=TOKEN HTTP/1.1\r\nHost: x\r\n\r\n", True),
    "a screen": (SCREEN, True),
    "a screen that is refused": (SCREEN.replace(b"SESSION", b"999"), True),
    "a screen's flood": (SCREEN + b"\x8a\x80mask" * 200, True),
    "no frame of a screen": (SCREEN + b"\x83\x80mask", True),
    "a cart": (CART, True),
    "a cart in its handshake": (CART, False),
    "a cart that is refused": (CART.replace(b"KEY", b"no"), True),
    "a cart's flood": (CART + b"\x8a\x80mask" * 200, True),
    "no frame of a cart": (CART + b"\x83\x80mask", True),
}


@pytest.fixture
def no_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def counted() -> Counter[type]:
    return Counter(kind for it in gc.get_objects() for kind in CONCERNED if isinstance(it, kind))


def left_since(before: Counter[type]) -> dict[str, int]:
    """Of what there is more by one for each round, how many more."""
    return {kind.__name__: more for kind, more in (counted() - before).items() if more >= ROUNDS}


def described() -> Iterator[str]:
    """Each traceback there is, and what holds it."""
    for it in gc.get_objects():
        if isinstance(it, TracebackType):
            code = it.tb_frame.f_code
            holders = [type(holder).__name__ for holder in gc.get_referrers(it)]
            yield f"{code.co_filename}:{it.tb_lineno} {code.co_qualname}, held by {holders}"


async def come_and_go(shop: Shop, data: bytes, answered: bool, reset: bool) -> None:
    loop = asyncio.get_running_loop()
    peer = socket.socket()
    peer.setblocking(False)
    await loop.sock_connect(peer, ("127.0.0.1", shop.port))
    await loop.sock_sendall(peer, data)
    if answered:
        await loop.sock_recv(peer, 1000)
    else:
        await until(lambda: shop.server.server_state.connections)
    if reset:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    await until(lambda: not shop.server.server_state.connections and not shop.server.server_state.tasks)
    await until(lambda: not shop.inside.dispatch.background)


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize(
    ("data", "answered"),
    # A flood's connection is ended seconds after its close code, each time anew.
    [pytest.param(*it, id=name, marks=[pytest.mark.proof] if "flood" in name else []) for name, it in KINDS.items()],
)
async def test_f45_nothing_is_left_of_a_connection(
    shop: Shop, no_collection: None, data: bytes, answered: bool, reset: bool
) -> None:
    shopper = await shop.shopper()
    session_id = await shop.start(shopper)
    await shop.http.aclose()
    token = shopper["Authorization"].removeprefix("Bearer ")
    for name, value in {"KEY": shop.keys[2], "SESSION": str(session_id), "TOKEN": token}.items():
        data = data.replace(name.encode(), value.encode())
    for _ in range(2):
        await come_and_go(shop, data, answered, reset)
    gc.collect()
    before = counted()
    for _ in range(ROUNDS):
        await come_and_go(shop, data, answered, reset)
    try:  # A thread that is late still holds the job it has handed back; garbage stays however long one waits.
        await until(lambda: not left_since(before))
    except TimeoutError:
        pytest.fail("\n".join(map(str, (left_since(before), *described()))))
    assert len(shop.inside.places) == 0
