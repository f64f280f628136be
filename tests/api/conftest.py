"""A shop for the doors: two carts that need no socket, and limits that only their own tests reach.

Whatever a test does, no door may answer what `/openapi.json` does not declare, nor answer the quick way
(api/quick.py) otherwise than FastAPI's.
"""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.api.both_ways import BothWays, both_ways
from tests.api.doors import Session, begin
from tests.conftest import OpenShop
from tests.documents.declared import watch
from tests.world import Shop


@pytest.fixture(autouse=True)
def servers() -> Iterator[list[BothWays]]:
    with both_ways() as servers:
        yield servers
    assert [wrong for server in servers for wrong in server.wrong] == []


@pytest.fixture
async def shop(opening: OpenShop) -> AsyncIterator[Shop]:
    limits = dict.fromkeys(("sign_in_per_minute", "address_per_minute", "scans_per_minute"), 10_000)
    async with opening(offline_carts="accept", **limits) as shop:
        await shop.furnish()
        await shop.add_cart(2)
        await watch(shop)
        yield shop


@pytest.fixture
async def session(shop: Shop) -> Session:
    """Mona shops with cart 1; milk is in her basket."""
    return await begin(shop)
