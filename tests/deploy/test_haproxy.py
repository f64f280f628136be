"""What the shipped haproxy.cfg promises, in a real haproxy: on one port for TLS and plain, in front of real nodes."""

import asyncio
import json
from asyncio import FIRST_COMPLETED
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx2
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import InvalidStatus

from duckycart.testing.furnish import MILK
from duckycart.testing.waiting import PATIENCE, until
from tests.deploy.conftest import Balance
from tests.deploy.world import Balancer, ScriptedNode
from tests.process.world import KEY, Served

CART = "/ws/hardware/1"
WITH_KEY = {"X-API-Key": KEY}
BOTH = pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])


async def test_haproxy_finds_nothing_to_warn_of(balance: Balance) -> None:
    for nodes in ([1], [1, 2], [1, 2, 3], [1, 2, 3, 4]):
        checked = balance(*nodes).checked()
        assert checked.returncode == 0, checked.stderr


async def test_haproxy_does_not_start_without_a_node(balance: Balance) -> None:
    assert balance().checked().returncode != 0


# What passes


@BOTH
async def test_a_session_goes_through_it(served: Served, balance: Balance, tls: bool) -> None:
    shopper = served.furnish()
    await served.start(DUCKYCART_LEGACY_SCREENS="127.0.0.0/8")
    balancer = balance(served.port)
    await balancer.start()
    http = balancer.https if tls else balancer.http
    async with balancer.socket(f"{CART}?key={KEY}", tls=tls) as cart, http.stream("GET", "/sse/1") as stream:
        events = _data(stream)
        qr = await http.get("/customer-session/qr/1", headers={**WITH_KEY, "Prefer": "wait=5"})
        assert qr.headers["Hardware-Delivery"] == "received"
        assert json.loads(await cart.recv()) == {"type": "generate_qr", "data": None}

        scan = await http.post("/customer-session/scan-qr", json={"token": qr.json()}, headers=shopper)
        session = scan.json()["session_id"]
        assert json.loads(await cart.recv()) == {"type": "session_started", "data": session}
        started = await asyncio.wait_for(anext(events), PATIENCE)  # while the stream stays open
        assert started["session_id"] == session

        async with balancer.socket(f"/ws/{session}?token={started['token']}", tls=tls) as screen:
            assert json.loads(await screen.recv()) == {"type": "cart-updated", "data": 0}
            line = {"sessionID": session, "barcode": MILK}
            assert (await http.post("/cart-items/add", json=line, headers=WITH_KEY)).status_code == 200
            assert json.loads(await screen.recv()) == {"type": "cart-updated", "data": MILK}


async def _data(stream: httpx2.Response) -> AsyncIterator[dict[str, object]]:
    async for line in stream.aiter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


@BOTH
async def test_the_close_codes_of_a_take_over_and_of_a_stop_arrive(served: Served, balance: Balance, tls: bool) -> None:
    served.furnish()
    await served.start()
    balancer = balance(served.port)
    await balancer.start()
    async with (
        balancer.socket(CART, tls=tls, additional_headers=WITH_KEY) as older,
        balancer.socket(CART, tls=tls, additional_headers=WITH_KEY) as newer,
    ):
        await asyncio.wait_for(older.wait_closed(), PATIENCE)
        assert older.close_code == 4409
        assert await served.stop() == 0
        await asyncio.wait_for(newer.wait_closed(), PATIENCE)
        assert newer.close_code == 1012


@BOTH
async def test_large_frames_pass_whole(one: ScriptedNode, balance: Balance, tls: bool) -> None:
    balancer = balance(one.port)
    await balancer.start()
    frame = bytes(range(256)) * 4096  # 1 MiB
    async with balancer.socket("/ws/1", tls=tls, max_size=None) as screen:
        await screen.send(frame)
        assert await asyncio.wait_for(screen.recv(), PATIENCE) == frame


# Who is asking


@BOTH
async def test_the_node_hears_the_clients_address_and_only_haproxys_word_for_it(
    served: Served, balance: Balance, tls: bool
) -> None:
    """Seen by who may come without a key."""
    served.furnish()
    keyless = "127.0.0.5/32,10.9.8.7/32"
    await served.start(DUCKYCART_TRUSTED_PROXIES="127.0.0.1/32", DUCKYCART_KEYLESS_CARTS=keyless)
    balancer = balance(served.port)
    await balancer.start()

    async def comes_from(address: str, **headers: str) -> int:
        try:
            async with balancer.socket(CART, tls=tls, additional_headers=headers, local_addr=(address, 0)):
                return 101
        except InvalidStatus as refused:
            return refused.response.status_code

    forged = {"X-Forwarded-For": "10.9.8.7"}
    assert await comes_from("127.0.0.5") == 101
    assert await comes_from("127.0.0.6") == 401
    assert await comes_from("127.0.0.6", **forged) == 401
    assert await comes_from("127.0.0.1", **forged) == 401  # the address of the trusted proxy itself
    assert await comes_from("127.0.0.5", **forged) == 101


@pytest.mark.parametrize("path", ["/metrics", "/metrics?x=1", "/%6detrics"])
async def test_the_nodes_figures_are_not_for_the_public(one: ScriptedNode, balance: Balance, path: str) -> None:
    balancer = balance(one.port)
    await balancer.start()
    assert (await balancer.http.get(path)).status_code == 404
    assert one.asked == []


SECRET = "0123456789abcdef0123456789abcdef"  # as long as a pay page's

WITH_SECRETS = [
    f"GET /ws/hardware/1?key={SECRET} HTTP/1.1\r\nHost: shop\r\n\r\n",  # 200 of this node
    f"GET /ws/7?token={SECRET} HTTP/1.1\r\nHost: shop\r\nReferer: http://shop/s/{SECRET}\r\n\r\n",
    f"GET http://shop/ws/7?token={SECRET} HTTP/1.1\r\nHost: shop\r\n\r\n",
    f"GET /ws/hardware/1?key={SECRET} HTTP/1.0\r\nX-API-Key: {SECRET}\r\n\r\n",
    f"GET /s/{SECRET} HTTP/1.1\r\nHost: shop\r\n\r\n",
    f"GET //s/{SECRET} HTTP/1.1\r\nHost: shop\r\n\r\n",
    f"GET /pay/{SECRET} HTTP/1.1\r\nHost: shop\r\n\r\n",
    f"POST /pay/{SECRET}/pay HTTP/1.1\r\nHost: shop\r\nContent-Length: 0\r\n\r\n",
    f"GET /metrics?key={SECRET} HTTP/1.1\r\nHost: shop\r\n\r\n",  # denied by haproxy itself
    # What is no HTTP at all
    f"GET /ws/hardware/1?key={SECRET} and more HTTP/1.1\r\nHost: shop\r\n\r\n",
    f"GET /ws/hardware/1?key={SECRET}\r\n",
    f"GET /ws/hardware/1?key={SECRET}\x01 HTTP/1.1\r\nHost: shop\r\n\r\n",
    f"GET /ws/hardware/1?key={SECRET} HTTP/9.9\r\nHost: shop\r\n\r\n",
    f"GET /ws/hardware/1?key={SECRET} HTTP/1.1\r\nHost shop\r\n\r\n",
    f"GET /ws/hardware/1?key={SECRET}{'x' * 20_000} HTTP/1.1\r\nHost: shop\r\n\r\n",
    f"FETCH /ws/hardware/1?key={SECRET} HTTP/1.1\r\nHost: shop\r\n\r\n",
    f"G\x7fT /ws/hardware/1?key={SECRET} HTTP/1.1\r\nHost: shop\r\n\r\n",
]


@BOTH
async def test_no_key_reaches_its_log(one: ScriptedNode, balance: Balance, tls: bool) -> None:
    balancer = balance(one.port)
    await balancer.start()

    async def ask(request: str) -> None:
        context = balancer.trusting if tls else None
        name = "127.0.0.1" if tls else None
        reader, writer = await asyncio.open_connection("127.0.0.1", balancer.port, ssl=context, server_hostname=name)
        writer.write(request.encode())
        await reader.readuntil(b"\r\n\r\n")  # every one is answered
        writer.close()

    for request in WITH_SECRETS:
        await ask(request)
    one.hangs_up = True
    await ask(WITH_SECRETS[1])  # 502

    async def cut_short() -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", balancer.port)
        writer.write(f"GET /ws/hardware/1?key={SECRET}".encode())
        writer.close()
        await writer.wait_closed()

    await cut_short()
    await until(lambda: len(balancer.log.read_text().splitlines()) > len(WITH_SECRETS) + 1)
    balancer.stop()
    log = balancer.log.read_text()
    assert "/ws/hardware/1" in log  # there is one, and it says what was asked
    assert "/pay/***" in log
    assert SECRET not in log.lower()


async def test_whoever_says_nothing_or_nonsense_first_reaches_no_node(one: ScriptedNode, balance: Balance) -> None:
    balancer = balance(one.port)
    await balancer.start()
    for first in (b"\x16\x03\x01 no more of a handshake", b"\x00\x01\x02\r\n\r\n", b"\r\n\r\nnonsense\r\n\r\n"):
        reader, writer = await asyncio.open_connection("127.0.0.1", balancer.port)
        writer.write(first)
        writer.write_eof()
        await asyncio.wait_for(reader.read(), PATIENCE)
        writer.close()
    assert one.asked == []


# Which node


async def _answers(connection: ClientConnection) -> None:
    """The echo of a scripted node."""
    await connection.send(b"hello")
    assert await asyncio.wait_for(connection.recv(), PATIENCE) == b"hello"


async def _until_down(balancer: Balancer, name: str) -> None:
    await balancer.says(f"Server carts/{name} is DOWN")


async def test_a_node_that_is_not_ready_gets_nothing_new_and_keeps_what_is_open(
    one: ScriptedNode, two: ScriptedNode, balance: Balance
) -> None:
    balancer = balance(one.port, two.port)
    await balancer.start()
    async with AsyncExitStack() as stack:
        paths = [CART, "/ws/1"] * 2
        before = [await stack.enter_async_context(balancer.socket(path)) for path in paths]
        assert (one.sockets, two.sockets) == (2, 2)
        one.ready = False
        await _until_down(balancer, "one")
        asked = len(one.asked)
        for path in paths:
            await stack.enter_async_context(balancer.socket(path))
            assert (await balancer.http.get("/healthz")).status_code == 200
        assert len(one.asked) == asked
        for still_open in before:
            await _answers(still_open)


@pytest.mark.parametrize("path", [CART, "/ws/1"], ids=["cart", "screen"])
async def test_a_socket_that_one_node_refuses_to_connect_is_opened_at_the_other(
    one: ScriptedNode, two: ScriptedNode, balance: Balance, path: str
) -> None:
    """Before any check noticed: nobody is told 503 because a node is gone."""
    balancer = balance(one.port, two.port)
    await balancer.start()
    await until(lambda: one.checks)  # from here on it takes two failed checks
    await one.stop()
    for _ in range(6):
        async with balancer.socket(path) as opened:
            await _answers(opened)
    await one.start()


@pytest.mark.parametrize("path", [CART, "/ws/1"], ids=["cart", "screen"])
async def test_a_socket_whose_node_dies_in_the_handshake_is_opened_at_the_other(
    one: ScriptedNode, two: ScriptedNode, balance: Balance, path: str
) -> None:
    balancer = balance(one.port, two.port)
    await balancer.start()
    one.hangs_up = True
    while not one.asked:
        async with balancer.socket(path) as opened:
            await _answers(opened)


REFUSAL = b"HTTP/1.1 503 No\r\nRetry-After: 7\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


async def test_a_screen_that_one_node_refuses_is_let_in_by_the_other(
    one: ScriptedNode, two: ScriptedNode, balance: Balance
) -> None:
    """Fielded screens give up for good after one refusal."""
    balancer = balance(one.port, two.port)
    await balancer.start()
    one.answer = REFUSAL
    while not one.asked:
        async with balancer.socket("/ws/1"):
            pass


async def test_a_cart_that_is_refused_hears_it_with_the_nodes_own_retry_after(
    one: ScriptedNode, balance: Balance
) -> None:
    balancer = balance(one.port)
    await balancer.start()
    one.answer = REFUSAL
    with pytest.raises(InvalidStatus) as refused:
        async with balancer.socket(CART):
            pass
    assert refused.value.response.status_code == 503
    assert refused.value.response.headers["Retry-After"] == "7"
    assert one.asked == [f"GET {CART}"]  # once


async def test_what_changes_something_is_never_sent_twice(
    one: ScriptedNode, two: ScriptedNode, balance: Balance
) -> None:
    balancer = balance(one.port, two.port)
    await balancer.start()
    one.hangs_up = two.hangs_up = True
    answer = await balancer.http.post("/cart-items/add", json={})
    assert answer.status_code == 502
    assert one.asked + two.asked == ["POST /cart-items/add"]


async def test_when_no_node_is_there_the_refusal_has_the_nodes_form(one: ScriptedNode, balance: Balance) -> None:
    balancer = balance(one.port)
    one.ready = False
    await balancer.start()
    await _until_down(balancer, "one")
    for path in (f"{CART}?key={SECRET}", "/items/read/1"):
        answer = await balancer.http.get(path)
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "2"
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["detail"] == answer.json()["message"]
    assert one.asked == []
    assert SECRET not in balancer.log.read_text()


async def test_a_reload_leaves_sockets_open_and_takes_new_ones(one: ScriptedNode, balance: Balance) -> None:
    """A new certificate does not disconnect a shop."""
    balancer = balance(one.port)
    await balancer.start()
    async with balancer.socket(CART, tls=True) as cart:
        await balancer.reload()
        async with balancer.socket("/ws/1", tls=True), balancer.socket("/ws/1"):
            await _answers(cart)


async def test_carts_of_a_killed_node_are_back_at_the_next(served: Served, one: ScriptedNode, balance: Balance) -> None:
    served.furnish()
    await served.start()
    balancer = balance(served.port, one.port)
    await balancer.start()
    async with AsyncExitStack() as stack:
        carts = [await stack.enter_async_context(balancer.socket(CART, additional_headers=WITH_KEY)) for _ in range(2)]
        await until(lambda: one.sockets == 1)  # so the other one is at the node that dies
        await served.die()
        await asyncio.wait([asyncio.create_task(cart.wait_closed()) for cart in carts], return_when=FIRST_COMPLETED)
        async with balancer.socket(CART, additional_headers=WITH_KEY) as back:
            assert one.sockets == 2
            await _answers(back)
