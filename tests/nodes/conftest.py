"""Two servers on one PostgreSQL database, in this process, and what is between them."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from duckycart.testing.waiting import until
from tests.nats import NatsServer
from tests.nodes.world import Chain, Node, open_node
from tests.ports import free_port


@pytest.fixture(params=["nats", "no bus to be reached"])
def bus(request: pytest.FixtureRequest, nats: NatsServer) -> str:
    """What the bus hurries, the sweeps do without it: every promise holds with both."""
    return nats.url if request.param == "nats" else f"nats://127.0.0.1:{free_port()}"


@pytest.fixture
async def chain(postgres_database: str, bus: str, nats: NatsServer) -> AsyncIterator[Chain]:
    """Nodes a and b, cart 1, products; `chain.sweep` stands for the timers."""
    async with AsyncExitStack() as stack:
        nodes: list[Node] = [await stack.enter_async_context(open_node(postgres_database, bus, name)) for name in "ab"]
        chain = Chain(*nodes, hurried=bus == nats.url)
        await chain.a.furnish()
        chain.b.keys = chain.a.keys
        await chain.beat()  # they know each other
        if chain.hurried:
            await until(chain.connected)
        yield chain
        await chain.cut_all()
