"""SIGTERM and SIGINT: everybody is told, nothing is lost, exit code 0."""

import asyncio
import signal
from collections.abc import AsyncIterator

import pytest

from duckycart.testing.cart import CartConnection
from tests.process.world import KEY, Served, heard, told

CART = {"X-API-Key": KEY}


@pytest.fixture
async def running(served: Served) -> AsyncIterator[Served]:
    served.furnish()
    await served.start()
    yield served
    assert "Traceback" not in served.log.read_text()
    events = [line["event"] for line in served.lines()]
    assert events[-1] == "stopped"
    assert "stopping" in events


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_f26_a_connected_cart_is_told_to_come_back(running: Served, number: signal.Signals) -> None:
    cart = await running.cart()
    assert await running.stop(number) == 0
    await cart.gone()
    assert cart.closed == (1012, "the server restarts")
    assert running.rows("SELECT link_node FROM carts") == [(None,)]


async def test_f26_a_cart_that_is_silent_holds_nobody_and_loses_nothing(running: Served) -> None:
    """It answers neither ping nor close, while a request waits for its receipt: both end, and it hears it later."""
    cart = await running.cart(silent=True)
    headers = {**CART, "Prefer": "wait=1"}
    asking = asyncio.create_task(running.ask("GET", "/customer-session/qr/1", headers=headers))
    await heard(cart, 1)
    assert await running.stop() == 0
    assert cart.closed == (1012, "the server restarts")
    answer = await asking
    assert answer is not None
    assert (answer.status_code, answer.headers["Hardware-Delivery"]) == (200, "sent")

    await running.start()
    cart = await running.cart()
    await running.settled()
    assert told(cart) == ["generate_qr"]
    assert await running.stop() == 0


async def test_a_connection_kept_alive_does_not_hold_the_server(running: Served) -> None:
    assert await running.ask("GET", "/healthz")
    assert await running.stop() == 0


@pytest.mark.parametrize(
    "part",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"GET /healthz HTTP/1.1\r\nHo", id="half a head"),
        pytest.param(b"POST /auth/guest HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{", id="half a body"),
        pytest.param(b"GET /ws/hardware/1 HTTP/1.1\r\nUpgrade: websocket\r\n", id="half a handshake"),
    ],
)
async def test_a_half_sent_request_does_not_hold_the_server(running: Served, part: bytes) -> None:
    assert await running.ask("GET", "/healthz")
    _, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(part)
    await writer.drain()
    assert await running.ask("GET", "/healthz")  # it has read the part by now
    assert await running.stop() == 0
    writer.close()


async def test_an_idle_server_stops_and_starts_again_on_the_same_file(running: Served) -> None:
    assert await running.stop() == 0
    await running.start()
    assert await running.stop() == 0


async def test_nobody_is_left_half_connected(running: Served) -> None:
    """Who comes after the end is refused by the system."""
    assert await running.stop() == 0
    with pytest.raises(ConnectionRefusedError):
        await CartConnection.open(running.endpoint, "/ws/hardware/1", CART)
