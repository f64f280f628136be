"""How long a connection is kept for a next request (F60)."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from duckycart import server
from duckycart.settings import Settings
from duckycart.testing.waiting import PATIENCE, until
from tests.conftest import OpenShop
from tests.deploy.world import DEPLOY
from tests.world import Shop

ASK = b"GET /healthz HTTP/1.1\r\nHost: shop\r\n\r\n"
Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
def database(sqlite_database: str) -> str:
    """None of this reaches it."""
    return sqlite_database


@asynccontextmanager
async def client(shop: Shop) -> AsyncIterator[Client]:
    """A connection that has had an answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", shop.port)
    try:
        await ask((reader, writer))
        yield reader, writer
    finally:
        writer.transport.abort()


async def ask(client: Client) -> str:
    """The head of the answer."""
    reader, writer = client
    writer.write(ASK)
    async with asyncio.timeout(PATIENCE):
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(len(b'{"status":"ok"}'))
    return head.decode()


def armed(shop: Shop) -> list[float]:
    """Of each waiting connection the seconds after which it is closed."""
    now = asyncio.get_running_loop().time()
    idle = shop.server.server_state.idle
    return [round(it.timeout_keep_alive_task.when() - now) for it in idle if it.timeout_keep_alive_task is not None]


async def test_f60_a_connection_waits_75_s_for_its_next_request(shop: Shop) -> None:
    async with client(shop) as connection:
        assert "\r\nkeep-alive: timeout=70\r\n" in await ask(connection)  # less than we keep it, so nobody is too late
        (seconds,) = armed(shop)
        assert 60 < seconds <= 75
    await until(lambda: not shop.server.server_state.idle)


async def test_f60_or_as_long_as_the_setting_says(opening: OpenShop) -> None:
    async with opening(keep_alive_seconds=2) as shop, client(shop) as connection:
        assert "\r\nkeep-alive: timeout=1\r\n" in await ask(connection)
        reader, _ = connection
        async with asyncio.timeout(PATIENCE):
            assert await reader.read() == b""


async def test_f60_a_connection_that_closes_promises_nothing(shop: Shop) -> None:
    answer = await shop.http.get("/healthz", headers={"Connection": "close"})
    assert "keep-alive" not in answer.headers


async def test_f60_of_too_many_that_wait_the_longest_waiting_goes(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAX_IDLE", 2)
    async with client(shop) as first, client(shop) as second:
        await ask(first)  # so it is the second that has waited longest
        async with client(shop):
            async with asyncio.timeout(PATIENCE):
                assert await second[0].read() == b""
            await ask(first)
            assert len(shop.server.server_state.idle) == 2


async def test_f60_who_is_answered_does_not_wait(shop: Shop) -> None:
    async with client(shop) as (_, writer):
        assert len(shop.server.server_state.idle) == 1
        writer.write(b"GET /sse/1 HTTP/1.1\r\nHost: shop\r\nX-API-Key: %b\r\n\r\n" % shop.keys[1].encode())
        await until(lambda: len(shop.inside.channels) == 1)
        assert not shop.server.server_state.idle


def test_f60_haproxy_lets_go_of_a_connection_before_the_nodes_do() -> None:
    """Each purge takes half of those that nobody needs: a thousand are gone after eleven."""
    delay = re.search(r"pool-purge-delay (\d+)s", (DEPLOY / "haproxy.cfg").read_text())
    assert delay is not None
    assert int(delay[1]) * 11 < Settings.model_fields["keep_alive_seconds"].default
