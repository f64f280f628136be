"""Three real servers, a real PostgreSQL and a real NATS cluster, and everything that can go away does, under load."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import pytest

from duckycart.store.migrate import upgrade_postgres
from duckycart.testing.waiting import until
from tests.nats import NatsServer, nats_cluster, nats_server
from tests.nodes.busy_shop import BusyShop
from tests.postgres import OwnPostgres, own_postgres
from tests.process.world import Served, serving

CARTS = 6
SESSIONS = 4  # of each


@pytest.fixture(scope="module")
def breakable() -> Iterator[OwnPostgres]:
    with own_postgres() as postgres:
        yield postgres


@pytest.fixture(scope="module")
def cluster() -> Iterator[list[NatsServer]]:
    with nats_cluster() as servers:
        yield servers


class Chain:
    """Three nodes, each a process; `start` one as often as you want."""

    def __init__(self, nodes: list[Served], database: str, postgres: OwnPostgres, cluster: list[NatsServer]) -> None:
        self.nodes = nodes
        self.database = database
        self.postgres = postgres
        self.cluster = cluster
        self.busy_shop = BusyShop(nodes, database, CARTS)

    async def start(self, number: int, bus: str | None = None) -> None:
        node = self.nodes[number]
        bus = bus or ",".join(server.url for server in self.cluster)
        await node.start("--database", self.database, "--bus", bus, DUCKYCART_NODE="abc"[number],
                         DUCKYCART_CONNECTS="1000", DUCKYCART_SCANS_PER_MINUTE="10000")  # fmt: skip
        await until(lambda: self.is_ready(node))

    async def is_ready(self, node: Served) -> bool:
        answer = await node.ask("GET", "/readyz")
        return answer is not None and answer.status_code == 200

    async def under_load(self, outage: Callable[["Chain"], Awaitable[None]]) -> None:
        """All carts go shopping; when a few have paid, the outage begins."""
        shopping = asyncio.create_task(self.busy_shop.shop(SESSIONS))
        try:
            await until(lambda: self.busy_shop.paid >= CARTS or shopping.done())
            await outage(self)
            await shopping
        finally:
            shopping.cancel()
            await asyncio.gather(shopping, return_exceptions=True)
        await self.busy_shop.settled()


@pytest.fixture
async def chain(breakable: OwnPostgres, cluster: list[NatsServer], tmp_path: Path) -> AsyncIterator[Chain]:
    with ExitStack() as stack:
        url = stack.enter_context(breakable.database())
        upgrade_postgres(url)
        nodes = []
        for name in "abc":
            (folder := tmp_path / name).mkdir()
            nodes.append(stack.enter_context(serving(folder)))
        async with AsyncExitStack() as closing:
            chain = Chain(nodes, url.render_as_string(hide_password=False), breakable, cluster)
            closing.push_async_callback(chain.busy_shop.close)
            for node in nodes:
                closing.push_async_callback(node.http.aclose)
            await asyncio.gather(*(chain.start(number) for number in range(3)))
            yield chain


async def a_node_is_killed(chain: Chain) -> None:
    await chain.nodes[0].die()


async def a_node_is_killed_and_comes_back(chain: Chain) -> None:
    await chain.nodes[0].die()
    await chain.start(0)


async def one_nats_server_is_killed(chain: Chain) -> None:
    chain.cluster[0].stop()


async def nats_is_killed_and_comes_back(chain: Chain) -> None:
    for server in chain.cluster:
        server.stop()
    before = chain.busy_shop.paid
    await until(lambda: chain.busy_shop.paid > before)  # the shop goes on without
    for server in chain.cluster:
        server.start()
    await until(lambda: all(_connections(node) == 2 for node in chain.nodes))


def _connections(node: Served) -> int:
    return [line["event"] for line in node.lines()].count("bus connected")


async def postgres_is_restarted(chain: Chain) -> None:
    links = [line for node in chain.nodes for line in node.lines() if line["event"] == "cart disconnected"]
    chain.postgres.stop(signal.SIGQUIT)
    answer = await chain.nodes[0].ask("GET", "/readyz")
    assert answer is not None
    assert answer.status_code == 503
    chain.postgres.start()
    await until(lambda: chain.is_ready(chain.nodes[0]))
    after = [line for node in chain.nodes for line in node.lines() if line["event"] == "cart disconnected"]
    assert after == links, "sockets stay open"


@pytest.fixture(autouse=True)
def whole_again(cluster: list[NatsServer]) -> Iterator[None]:
    """What a test stopped is there for the next one."""
    yield
    for server in cluster:
        server.stop()
        server.start()


@pytest.mark.parametrize(
    "outage",
    [a_node_is_killed, a_node_is_killed_and_comes_back, one_nats_server_is_killed, nats_is_killed_and_comes_back,
     postgres_is_restarted],
    ids=lambda outage: outage.__name__,
)  # fmt: skip
async def test_no_command_is_lost_and_every_cart_ends_in_the_state_the_database_says_when(
    chain: Chain, outage: Callable[[Chain], Awaitable[None]]
) -> None:
    await chain.under_load(outage)
    chain.busy_shop.judge(repeats=True)


async def test_a_node_that_cannot_reach_the_others_is_served_by_the_sweeps(chain: Chain) -> None:
    """A partition: it has a NATS of its own, which knows nobody."""
    await chain.nodes[2].stop()
    with nats_server() as island:
        await chain.start(2, bus=island.url)
        await chain.busy_shop.shop(1)
        await chain.busy_shop.settled()
        chain.busy_shop.judge(repeats=False)


async def test_f26_a_rolling_restart_of_three_nodes_under_load_loses_no_command_and_doubles_none(chain: Chain) -> None:
    async def restart_each(chain: Chain) -> None:
        for number, node in enumerate(chain.nodes):
            assert await node.stop() == 0
            await chain.start(number)

    await chain.under_load(restart_each)
    chain.busy_shop.judge(repeats=False)
