"""A shop whose carts need no socket, and a session in it."""

from collections.abc import AsyncIterator

import pytest

from tests.api.doors import Session
from tests.conftest import OpenShop
from tests.world import Shop


@pytest.fixture
async def shop(opening: OpenShop) -> AsyncIterator[Shop]:
    async with opening(offline_carts="accept", scans_per_minute=10_000) as shop:
        await shop.furnish()
        await shop.add_cart(2)
        yield shop


@pytest.fixture
async def session(shop: Shop) -> Session:
    """Mona shops with cart 1; her basket is empty."""
    shopper = await shop.shopper()
    return Session(await shop.start(shopper), shopper)
