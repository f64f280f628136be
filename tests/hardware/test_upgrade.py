"""How clients ask for a WebSocket: whatever RFC 9110 and RFC 6455 allow opens it, whatever else is told what it lacks.

The same for carts' sockets and screens': they share the judgement.
"""

import asyncio

import pytest

from duckycart.handshake import flaw, origin_form
from duckycart.testing.waiting import PATIENCE, until
from tests.hardware.test_malformed import GOOD
from tests.world import Shop

pytestmark = pytest.mark.any_store

Lines = list[tuple[str, str]]

ASKS: Lines = [("Connection", "Upgrade"), ("Upgrade", "websocket")]
REST: Lines = [(name, value) for name, value in GOOD.items() if name not in ("Connection", "Upgrade")]


def changed(name: str, *values: str) -> Lines:
    """A good handshake with these lines instead of the one of that name."""
    kept = [line for line in ASKS + REST if line[0] != name]
    return [*kept, *((name, value) for value in values)]


async def ask(shop: Shop, lines: Lines, line: str = "GET {} HTTP/1.1", socket: str = "cart") -> bytes:
    """The head of the answer to a handshake for cart 1, or for its session's screen, with the credential it needs."""
    reader, writer = await asyncio.open_connection("127.0.0.1", shop.port)
    if socket == "cart":
        path = f"/ws/hardware/1?key={shop.keys[1]}"
    else:
        shopper = await shop.shopper(f"{len(await shop.commands())}-{id(writer)}@example.com", operator=True)
        path = f"/ws/{SESSION}?token={shopper['Authorization'].removeprefix('Bearer ')}"
    head = "".join(f"{name}: {value}\r\n" for name, value in lines)
    writer.write(f"{line.format(path)}\r\n{head}\r\n".encode("latin-1"))
    try:
        async with asyncio.timeout(PATIENCE):
            return await reader.readuntil(b"\r\n\r\n")
    finally:
        writer.transport.abort()
        await until(lambda: not shop.inside.dispatch.links)


SESSION = 1


@pytest.fixture
def database(sqlite_database: str) -> str:
    """None of this reaches it."""
    return sqlite_database


@pytest.fixture
async def in_session(shop: Shop) -> Shop:
    async with shop.cart():
        assert await shop.start(await shop.shopper()) == SESSION
    await shop.offline()
    shop.clock.move(60)  # the brake is each test's own
    return shop


@pytest.mark.parametrize("socket", ["cart", "screen"])
@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(changed("Connection", "Upgrade", "keep-alive"), id="two Connection lines"),
        pytest.param(changed("Connection", "keep-alive", "Upgrade"), id="two Connection lines, the other way round"),
        pytest.param(changed("Connection", "keep-alive, Upgrade"), id="a list"),
        pytest.param(changed("Connection", "keep-alive,Upgrade ,, x"), id="a list with empty members"),
        pytest.param(changed("Connection", "\tUPGRADE\t"), id="capitals and tabs"),
        pytest.param(changed("Connection", "close, upgrade"), id="close, upgrade"),
        pytest.param(changed("Upgrade", "WebSocket"), id="capitals"),
        pytest.param(changed("Upgrade", "websocket, foo"), id="one of several protocols"),
        pytest.param(changed("Upgrade", "h2c", "websocket"), id="two Upgrade lines"),
        pytest.param(changed("Sec-WebSocket-Version", " 13\t"), id="blanks around the version"),
        pytest.param([("content-length", "0"), *ASKS, *REST], id="a body of nothing"),
        pytest.param([("sec-websocket-extensions", "permessage-deflate; client_max_window_bits"), *ASKS, *REST],
                     id="an extension"),
        pytest.param([("Sec-WebSocket-Protocol", "ocpp1.6, chat"), *ASKS, *REST], id="subprotocols"),
        pytest.param([("Sec-WebSocket-Extensions", "=;,"), *ASKS, *REST], id="rubbish of no importance"),
    ],
)  # fmt: skip
async def test_f58_what_the_rfcs_allow_opens_a_socket(in_session: Shop, lines: Lines, socket: str) -> None:
    head = await ask(in_session, lines, socket=socket)
    assert head.startswith(b"HTTP/1.1 101 "), head
    assert b"\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in head.lower().replace(
        b"s3pplmbitxaq9kygzzhzrbk+xoo=", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    )


@pytest.mark.parametrize("socket", ["cart", "screen"])
@pytest.mark.parametrize(
    "line",
    [
        pytest.param("GET http://shop:8000{} HTTP/1.1", id="absolute form"),
        pytest.param("GET HTTP://[::1]:8000{} HTTP/1.1", id="absolute form, IPv6"),
        pytest.param("GET {}#fragment HTTP/1.1", id="a fragment"),
    ],
)
async def test_f58_the_target_may_have_every_form(in_session: Shop, line: str, socket: str) -> None:
    assert (await ask(in_session, ASKS + REST, line, socket)).startswith(b"HTTP/1.1 101 ")


async def test_f58_escaped_letters_and_digits_are_those_letters_and_digits(shop: Shop) -> None:
    for path in ("/ws/hardware/%31", "/ws/h%61rdware/1", "/%77s/hardware/1"):
        line = f"GET {path}?key={shop.keys[1]} HTTP/1.1"
        assert (await ask(shop, ASKS + REST, line)).startswith(b"HTTP/1.1 101 "), path
    for path in ("/ws//hardware/1", "//ws/hardware/1", "/ws/hardware%2F1", "/ws/hardware/1/", "/ws/hardware/%"):
        status = int((await ask(shop, ASKS + REST, f"GET {path}?key={shop.keys[1]} HTTP/1.1")).split()[1])
        assert status in (400, 403, 404), path


async def test_f58_what_is_escaped_twice_is_a_bad_address_of_a_cart(shop: Shop) -> None:
    for path in ("/%7%37s/hardware/1", "/ws/h%6%31rdware/1"):
        head = await ask(shop, ASKS + REST, f"GET {path}?key={shop.keys[1]} HTTP/1.1")
        assert head.startswith(b"HTTP/1.1 400 "), path
        assert b"\r\nContent-Length: 75\r\n" in head, path  # the sentence about ids


@pytest.mark.parametrize(
    ("lines", "line", "status", "says"),
    [
        (REST, "GET {} HTTP/1.1", 426, {"upgrade": "websocket", "connection": "Upgrade"}),
        ([("Host", "shop")], "GET {} HTTP/1.1", 426, {"upgrade": "websocket", "connection": "Upgrade"}),
        (changed("Connection", "keep-alive"), "GET {} HTTP/1.1", 426, {"upgrade": "websocket"}),
        (changed("Upgrade", "h2c"), "GET {} HTTP/1.1", 426, {"upgrade": "websocket"}),
        (changed("Upgrade", "notwebsocket"), "GET {} HTTP/1.1", 426, {"upgrade": "websocket"}),
        (changed("Connection", "xupgrade"), "GET {} HTTP/1.1", 426, {"upgrade": "websocket"}),
        (ASKS + REST, "GET {} HTTP/1.0", 426, {"upgrade": "websocket"}),
        (ASKS + REST, "POST {} HTTP/1.1", 405, {"allow": "GET"}),
        (REST, "PUT {} HTTP/1.1", 405, {"allow": "GET"}),
        (changed("Sec-WebSocket-Version", "8"), "GET {} HTTP/1.1", 426, {"sec-websocket-version": "13"}),
        (changed("Sec-WebSocket-Version", "8"), "GET {} HTTP/1.1", 426, {"upgrade": "websocket"}),
        (changed("Sec-WebSocket-Version"), "GET {} HTTP/1.1", 400, {"sec-websocket-version": "13"}),
        (changed("Sec-WebSocket-Version", "13", "8"), "GET {} HTTP/1.1", 400, {"sec-websocket-version": "13"}),
        (changed("Sec-WebSocket-Key"), "GET {} HTTP/1.1", 400, {}),
        (changed("Sec-WebSocket-Key", "c2hvcnQ="), "GET {} HTTP/1.1", 400, {}),
        (changed("Sec-WebSocket-Key", "\xe9" * 24), "GET {} HTTP/1.1", 400, {}),
        (changed("Sec-WebSocket-Key", *[GOOD["Sec-WebSocket-Key"]] * 2), "GET {} HTTP/1.1", 400, {}),
        (changed("Host"), "GET {} HTTP/1.1", 400, {}),
        (changed("Host", "shop", "other"), "GET {} HTTP/1.1", 400, {}),
        (changed("Content-Length", "3"), "GET {} HTTP/1.1", 400, {}),
    ],
)
async def test_f58_what_opens_no_socket_is_told_what_it_lacks(
    shop: Shop, lines: Lines, line: str, status: int, says: dict[str, str]
) -> None:
    for path in ("/ws/hardware/1", "/ws/hardware", "/ws/1", "/ws/hardware/x/y"):
        head = (await ask(shop, lines, line.format(path))).decode("latin-1")
        first, *rest = head.splitlines()
        assert first.split()[1] == str(status), path
        answered = dict(field.lower().split(": ", 1) for field in rest if field)
        for name, value in says.items():
            assert value.lower() in answered[name]
        assert "application/problem+json" in answered["content-type"]
        assert len(shop.inside.dispatch.links) == 0


# Upgrades to something else (RFC 9110, 7.8: a server may ignore them)

OTHER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"


@pytest.mark.parametrize("upgrade", [OTHER, b"Connection: upgrade\r\nUpgrade: TLS/1.0\r\n", b"Upgrade: h2c\r\n"])
@pytest.mark.parametrize("cut", [0, 40, -10, -3])
async def test_f58_a_request_that_would_rather_speak_another_protocol_is_a_request(
    shop: Shop, upgrade: bytes, cut: int
) -> None:
    """Java's client asks for HTTP/2 in its first request, whatever that is, and so with a body."""
    body = b'{"token": "no QR of ours"}'
    head = b"POST /auth/guest HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\n%bContent-Length: %d\r\n\r\n"
    one = head % (upgrade, len(body)) + body
    reader, writer = await asyncio.open_connection("127.0.0.1", shop.port)
    writer.write(one[:cut] if cut else one)
    if cut:
        await writer.drain()
        writer.write(one[cut:])
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: shop\r\n%bConnection: close\r\n\r\n" % upgrade)
    async with asyncio.timeout(PATIENCE):
        answers = await reader.read()
    writer.close()
    assert b'"code":"not_a_qr"' in answers
    assert b'{"status":"ok"}' in answers


@pytest.mark.parametrize("before", [b"Connection: keep-alive\r\n", OTHER])
async def test_f58_what_came_before_on_its_connection_is_nothing_to_a_handshake(shop: Shop, before: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", shop.port)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: shop\r\n%b\r\n" % before)
    lines = "".join(f"{name}: {value}\r\n" for name, value in ASKS + REST)
    try:
        async with asyncio.timeout(PATIENCE):
            await reader.readuntil(b'{"status":"ok"}')
            writer.write(f"GET /ws/hardware/1?key={shop.keys[1]} HTTP/1.1\r\n{lines}\r\n".encode())
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
    finally:
        writer.transport.abort()
    await until(lambda: not shop.inside.dispatch.links)


async def test_f58_many_requests_in_one_read_that_ask_for_another_protocol(shop: Shop) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", shop.port)
    one = b"GET /healthz HTTP/1.1\r\nHost: shop\r\n%b\r\n" % OTHER
    writer.write(one * 40 + b"GET /healthz HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n")
    async with asyncio.timeout(PATIENCE):
        answers = await reader.read()
    writer.close()
    assert answers.count(b"HTTP/1.1 200 ") == 41


@pytest.mark.parametrize(
    "more", [b"", OTHER, b"Connection: Upgrade\r\nUpgrade: websocket\r\n", b"Content-Length: 4\r\n\r\nbody"]
)
async def test_f58_who_asks_for_a_tunnel_is_refused(shop: Shop, more: bytes) -> None:
    """CONNECT asks for another protocol, whatever its head says; this is no proxy."""
    reader, writer = await asyncio.open_connection("127.0.0.1", shop.port)
    writer.write(b"CONNECT shop.example:443 HTTP/1.1\r\nHost: shop.example:443\r\n%b\r\n" % more)
    async with asyncio.timeout(PATIENCE):
        assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
    writer.close()
    assert (await shop.http.get("/healthz")).status_code == 200


async def test_f58_an_upgrade_to_something_else_is_no_trouble_for_the_log(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    assert (await shop.http.get("/healthz", headers={"Connection": "Upgrade", "Upgrade": "h2c"})).status_code == 200
    assert not caplog.records


# The judgement by itself


@pytest.mark.parametrize(
    ("target", "form"),
    [
        (b"/ws/1", b"/ws/1"),
        (b"/ws/1?a=%31#f", b"/ws/1?a=%31"),
        (b"http://shop", b"/"),
        (b"http://shop?x=/", b"/?x=/"),
        (b"http://shop/a//b", b"/a//b"),
        (b"//ws/1", b"//ws/1"),
        (b"/a%2fb%7e%41", b"/a%2fb~A"),
        (b"*", b"*"),
        (b"", b""),
    ],
)
def test_f58_a_target_has_one_form(target: bytes, form: bytes) -> None:
    assert origin_form(target) == form


def test_f58_a_good_handshake_has_no_flaw() -> None:
    lines = {name.lower(): [value] for name, value in GOOD.items()}
    assert flaw("GET", "1.1", lambda name: lines.get(name.lower(), [])) is None
