"""Carts built with other people's libraries, as they are out of the box: what they send by themselves is let in (F56,
F58), and what they are told first they hear (F61)."""

import asyncio
import socket
from collections.abc import Callable

import pytest

from duckycart.testing.waiting import PATIENCE
from tests.clients.library import library
from tests.conftest import OpenShop
from tests.hardware.helpers import GENERATE_QR
from tests.world import Shop

PATH = "/ws/hardware/1"


@pytest.fixture
def database(sqlite_database: str) -> str:
    """None of this reaches it."""
    return sqlite_database


def websocket_client(port: int, key: str | None) -> str:
    """Says `Origin` by itself: the server's own address."""
    module = library("websocket", "a cart with websocket-client")
    header = [] if key is None else [f"X-API-Key: {key}"]
    cart = module.create_connection(f"ws://127.0.0.1:{port}{PATH}", timeout=PATIENCE, header=header)
    try:
        return str(cart.recv())
    finally:
        cart.close()


def wsproto(port: int, key: str | None) -> str:
    """Frames of wsproto over a socket that is read as little as a small cart reads it."""
    module, events = library("wsproto", "a cart with wsproto"), library("wsproto.events", "a cart with wsproto")
    connection = module.WSConnection(module.ConnectionType.CLIENT)
    header = [] if key is None else [(b"X-API-Key", key.encode())]
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as cart:
        cart.sendall(connection.send(events.Request(host=f"127.0.0.1:{port}", target=PATH, extra_headers=header)))
        heard: str = ""
        while data := cart.recv(64):
            connection.receive_data(data)
            for event in connection.events():
                if isinstance(event, events.TextMessage):
                    heard += event.data
                    if event.message_finished:
                        return str(heard)
    raise AssertionError("the server closed the connection")


LIBRARIES: list[Callable[[int, str | None], str]] = [websocket_client, wsproto]


async def unheard(shop: Shop) -> None:
    """A QR that the cart has not heard of."""
    await shop.furnish()
    assert (await shop.qr()).count(".") == 2


@pytest.mark.parametrize("client", LIBRARIES)
@pytest.mark.parametrize("keyless", [False, True])
async def test_f58_a_cart_built_with_it_hears_its_first_command(
    opening: OpenShop, client: Callable[[int, str | None], str], keyless: bool
) -> None:
    async with opening(offline_carts="accept", keyless_carts="127.0.0.0/8" if keyless else "") as shop:
        await unheard(shop)
        key = None if keyless else shop.keys[1]
        assert await asyncio.to_thread(client, shop.port, key) == GENERATE_QR
