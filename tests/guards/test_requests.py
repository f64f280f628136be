"""What one client asks for without end, and leaves unread, costs the others next to nothing (F45)."""

import asyncio

import pytest

from duckycart import server
from duckycart.guards import unread
from duckycart.testing.waiting import PATIENCE, until
from tests.world import Shop

GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
BIG = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"


def asked(shop: Shop) -> int:
    """Requests answered so far."""
    return shop.server.server_state.total_requests


@pytest.mark.parametrize("request_", [GET, GET.replace(b"GET", b"HEAD")])
async def test_f45_requests_sent_ahead_are_answered_one_after_the_other(shop: Shop, request_: bytes) -> None:
    running = 0
    most = 0

    def started(task: asyncio.Task[None]) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        task.add_done_callback(ended)

    def ended(_: asyncio.Task[None]) -> None:
        nonlocal running
        running -= 1

    class Tasks(set[asyncio.Task[None]]):
        def add(self, task: asyncio.Task[None]) -> None:
            started(task)
            super().add(task)

    shop.server.server_state.tasks = Tasks()
    reader, writer = await asyncio.open_connection("127.0.0.1", shop.port)
    writer.write(request_ * 40)
    async with asyncio.timeout(PATIENCE):
        for _ in range(40):
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 405 "))
            if not request_.startswith(b"HEAD"):
                await reader.readexactly(len(b'{"status":"ok"}'))
    assert most <= 2, "one, and the last step of the one before"
    writer.close()


@pytest.mark.parametrize(
    "sent", [GET, BIG, b"GET /nowhere HTTP/1.1\r\n\r\n", b"POST /auth/login HTTP/1.1\r\nContent-Length: 0\r\n\r\n"]
)
async def test_f45_another_client_is_answered_before_a_flood_is_through(shop: Shop, sent: bytes) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", shop.port)
    writer.write(sent * 20_000)
    await until(lambda: asked(shop) > 0)
    answer = await shop.http.get("/healthz")
    assert answer.status_code == 200
    assert asked(shop) < 1000
    writer.transport.abort()


async def test_f45_who_goes_on_sending_ahead_is_answered_with_pauses(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "AHEAD_SECONDS", 1000.0)
    _, writer = await asyncio.open_connection("127.0.0.1", shop.port)
    writer.write(GET * 100)
    await until(lambda: asked(shop) > server.AHEAD)
    for _ in range(20):
        assert (await shop.http.get("/healthz")).status_code == 200
    assert asked(shop) == server.AHEAD + 1 + 20, "who waits for each answer is not held up"
    writer.transport.abort()


async def test_f45_whoever_does_not_read_is_dropped_and_what_it_took_is_given_back(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unread, "UNREAD_SECONDS", 0.2)
    _, writer = await asyncio.open_connection("127.0.0.1", shop.port, limit=1024)
    writer.write(BIG * 1000)
    await until(lambda: len(shop.server.server_state.connections) == 1)
    (connection,) = shop.server.server_state.connections
    assert isinstance(connection, server.BoundedHttp)
    most = 0
    async with asyncio.timeout(PATIENCE):
        while shop.server.server_state.connections:
            most = max(most, connection.transport.get_write_buffer_size())
            await asyncio.sleep(0)
    assert asked(shop) < 1000
    assert most < 1_000_000
    await until(lambda: not shop.server.server_state.tasks)
    writer.transport.abort()


async def test_f45_also_while_it_closes(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer says `Connection: close`; a transport waits for ever for its last byte to go out."""
    monkeypatch.setattr(unread, "UNREAD_SECONDS", 0.2)
    _, writer = await asyncio.open_connection("127.0.0.1", shop.port, limit=1024)
    writer.write(GET)
    await until(lambda: len(shop.server.server_state.connections) == 1)
    (connection,) = shop.server.server_state.connections
    assert isinstance(connection, server.BoundedHttp)
    await until(lambda: asked(shop) == 1)
    connection.transport.write(b"x" * 30_000_000)
    connection.transport.close()
    await until(lambda: not shop.server.server_state.connections)
    writer.transport.abort()


async def test_f45_a_body_has_its_end_and_the_next_request_is_another(shop: Shop) -> None:
    posts = [
        b"POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n\n\r\n\n",
        b"POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: %b4\r\n\r\n\n\r\n\n" % (b"0" * 5000),
        b"POST /auth/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n\n\r\n\n\r\n0\r\n\r\n",
        b"POST /auth/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nTrailer: x\r\n\r\n",
    ]
    for size in (1, 7, 10**6):
        reader, writer = await asyncio.open_connection("127.0.0.1", shop.port)
        data = b"".join(post + GET for post in posts)
        for at in range(0, len(data), size):
            writer.write(data[at : at + size])
            await asyncio.sleep(0)
        async with asyncio.timeout(PATIENCE):
            statuses: list[bytes] = []
            while len(statuses) < 2 * len(posts):
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                await reader.readexactly(length)
                statuses.append(head.split()[1])
        assert statuses == [b"422", b"200"] * len(posts)
        writer.close()


async def test_f45_a_body_of_tiny_chunks_ends_somewhere(shop: Shop) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", shop.port)
    writer.write(b"POST /nowhere HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    writer.write(b"1\r\nx\r\n" * 200_000)
    async with asyncio.timeout(PATIENCE):
        try:
            while await reader.read(65536):
                pass
        except ConnectionResetError:
            pass
    assert (await shop.http.get("/healthz")).status_code == 200
    writer.transport.abort()


async def test_f45_requests_without_a_version_do_not_slip_through_in_one_piece(shop: Shop) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", shop.port)
    writer.write(b"GET /healthz\r\n" * 10_000)
    async with asyncio.timeout(PATIENCE):
        try:
            while await reader.read(65536):
                pass
        except ConnectionResetError:
            pass
    assert asked(shop) <= 1
    writer.transport.abort()
