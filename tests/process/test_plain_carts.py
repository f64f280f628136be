"""F70: a fielded cart falls back from wss:// to ws:// on the same port, and stays there. A setting lets it in."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trustme
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidMessage, InvalidStatus

from duckycart import first_byte
from duckycart.testing.furnish import MILK
from duckycart.testing.waiting import PATIENCE, until
from tests.conftest import OpenShop
from tests.process.world import KEY, Served
from tests.world import open_shop

LOOPBACK = "127.0.0.1/32"


@dataclass
class Certified:
    chain: Path
    key: Path
    trusting: ssl.SSLContext


@pytest.fixture
def certified(tmp_path: Path) -> Certified:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    it = Certified(tmp_path / "chain.pem", tmp_path / "key.pem", ssl.create_default_context())
    certificate.private_key_pem.write_to_path(it.key)
    for blob in certificate.cert_chain_pems:
        blob.write_to_path(it.chain, append=True)
    authority.configure_trust(it.trusting)
    return it


class Port:
    """A port of TLS, from the outside."""

    def __init__(self, number: int, trusting: ssl.SSLContext, shopper: dict[str, str]) -> None:
        self.number = number
        self.trusting = trusting
        self.shopper = shopper

    @asynccontextmanager
    async def http(self, scheme: str, local: str | None = None) -> AsyncIterator[httpx2.AsyncClient]:
        transport = httpx2.AsyncHTTPTransport(verify=self.trusting, local_address=local, trust_env=False)
        base = f"{scheme}://127.0.0.1:{self.number}"
        async with httpx2.AsyncClient(base_url=base, transport=transport, timeout=PATIENCE) as client:
            yield client

    def cart(self, scheme: str, path: str = "/ws/hardware/1", **options: Any) -> connect:
        if scheme == "wss":
            options["ssl"] = self.trusting
        headers = {"X-API-Key": KEY}
        return connect(f"{scheme}://127.0.0.1:{self.number}{path}", additional_headers=headers, proxy=None, **options)


@pytest.fixture(params=["uvloop", "asyncio"])
async def port(request: pytest.FixtureRequest, certified: Certified, served: Served) -> AsyncIterator[Port]:
    """Carts of 127.0.0.1 may come without TLS; with the loop of the product, and with the one of the tests."""
    if request.param == "uvloop":
        shopper = served.furnish()
        files = ("--tls-cert", str(certified.chain), "--tls-key", str(certified.key))
        await served.start(*files, DUCKYCART_PLAIN_CARTS=LOOPBACK)
        yield Port(served.port, certified.trusting, shopper)
        assert await served.stop() == 0
        assert [line for line in served.lines() if line["level"] not in ("info", "warning")] == []
        assert any(line["event"].startswith("carts need no TLS") for line in served.lines())
        return
    database = f"sqlite:///{served.database}"  # not started, so nobody holds it
    async with open_shop(database, tls_cert=certified.chain, tls_key=certified.key, plain_carts=LOOPBACK) as shop:
        await shop.furnish()
        assert shop.keys[1] == KEY
        yield Port(shop.port, certified.trusting, await shop.shopper())


async def commands(cart: ClientConnection) -> list[str]:
    """The next one."""
    async with asyncio.timeout(PATIENCE):
        return [json.loads(await cart.recv())["type"]]


@pytest.mark.parametrize("scheme", ["ws", "wss"])
async def test_f70_a_cart_hears_its_session_and_makes_its_calls_with_tls_and_without(port: Port, scheme: str) -> None:
    calls = scheme.replace("ws", "http")
    async with port.cart(scheme) as cart, port.http(calls) as http, port.http("https") as phone:
        key = {"X-API-Key": KEY}
        await until(lambda: _connected(phone))
        qr = await http.get("/customer-session/qr/1", headers=key)
        assert qr.status_code == 200, qr.text
        assert await commands(cart) == ["generate_qr"]
        scanned = await phone.post("/customer-session/scan-qr", json={"token": qr.json()}, headers=port.shopper)
        assert await commands(cart) == ["session_started"]
        session_id = scanned.json()["session_id"]
        body = {"sessionID": session_id, "barcode": MILK}
        for method, path, call in (
            ("POST", "/items/read", body),
            ("POST", "/cart-items/add", body),
            ("DELETE", "/cart-items/remove", body),
            ("POST", "/fraud-warnings/", {"session_id": session_id, "type_of_warning": "weight increased"}),
            ("POST", "/fraud-warnings/notify-cart-update", {"session_id": session_id, "barcode": 0}),
            ("PUT", f"/session-location/{session_id}", {"aisle_id": 3}),
            ("GET", "/customer-session/cart/1", None),
            ("GET", "/customer-session/cart-status/1", None),
        ):
            answer = await http.request(method, path, json=call, headers=key)
            assert answer.status_code == 200, (path, answer.text)


async def _connected(http: httpx2.AsyncClient) -> bool:
    ready = await http.get("/readyz")
    return bool(ready.json()["carts_connected"])


async def test_f70_without_tls_nothing_else_is_answered(port: Port) -> None:
    async with port.http("http") as http:
        for method, path, headers in (
            ("GET", "/healthz", {}),
            ("GET", "/metrics", {}),
            ("GET", "/customer-session/1", port.shopper),
            ("POST", "/auth/login", {}),
            ("POST", "/customer-session/scan-qr", port.shopper),
            ("GET", "/sse/1", {"X-API-Key": KEY}),
            ("GET", "/cart-items/session/1", port.shopper),
        ):
            answer = await http.request(method, path, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (400, "tls_only"), path
    with pytest.raises(InvalidStatus) as refused:
        async with port.cart("ws", "/ws/1"):
            pass
    assert refused.value.response.status_code == 400


async def test_f70_elsewhere_everything_plain_is_told_to_use_tls(port: Port) -> None:
    for path in ("/customer-session/qr/1", "/healthz"):
        async with port.http("http", "127.0.0.2") as http:
            answer = await http.get(path, headers={"X-API-Key": KEY})
            assert (answer.status_code, answer.text) == (400, "This port speaks TLS: please use https or wss.")
    with pytest.raises(InvalidStatus) as refused:
        async with port.cart("ws", local_addr=("127.0.0.2", 0)):
            pass
    assert refused.value.response.status_code == 400
    async with port.http("https", "127.0.0.2") as http:
        assert (await http.get("/healthz")).status_code == 200


@pytest.mark.parametrize("sent", [b"", b"\x16", b"\x16" + b"\xff" * 100, b"\x00\x01"])
async def test_f70_rubbish_and_silence_hurt_nobody(port: Port, sent: bytes) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port.number)
    writer.write(sent)
    async with port.http("https") as http:
        assert (await http.get("/healthz")).status_code == 200
    writer.transport.abort()


async def test_f70_a_connection_that_never_says_a_byte_is_closed(
    opening: OpenShop, certified: Certified, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_byte, "FIRST_BYTE_SECONDS", 0.05)
    async with opening(tls_cert=certified.chain, tls_key=certified.key, plain_carts=LOOPBACK) as shop:
        reader, writer = await asyncio.open_connection("127.0.0.1", shop.port)
        async with asyncio.timeout(PATIENCE):
            assert await reader.read() == b""
        writer.close()


async def test_f70_it_is_off_unless_it_is_asked_for(served: Served, certified: Certified) -> None:
    served.furnish()
    await served.start("--tls-cert", str(certified.chain), "--tls-key", str(certified.key))
    port = Port(served.port, certified.trusting, {})
    with pytest.raises(InvalidMessage):
        async with port.cart("ws"):
            pass
    async with port.cart("wss"):
        pass
    assert await served.stop() == 0
    assert not any(line["event"].startswith("carts need no TLS") for line in served.lines())


async def test_f70_a_server_without_tls_is_as_it_was(served: Served) -> None:
    served.furnish()
    await served.start(DUCKYCART_PLAIN_CARTS="10.0.0.0/8")
    assert await served.ask("GET", "/healthz")
    cart = await served.cart()
    assert await served.stop() == 0
    await cart.gone()
