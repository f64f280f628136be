"""A shop whose payment provider the test drives."""

from collections.abc import AsyncIterator

import pytest

from tests.conftest import OpenShop
from tests.payments.acquirer import Acquirer
from tests.world import Shop


@pytest.fixture
def acquirer() -> Acquirer:
    return Acquirer()


@pytest.fixture
async def shop(opening: OpenShop, acquirer: Acquirer) -> AsyncIterator[Shop]:
    async with opening(provider=acquirer) as shop:
        await shop.furnish()
        async with shop.cart():
            await shop.online()
            yield shop


@pytest.fixture
async def shopper(shop: Shop) -> dict[str, str]:
    return await shop.shopper()


@pytest.fixture
async def session_id(shop: Shop, shopper: dict[str, str]) -> int:
    """A session with one milk in its basket."""
    session_id = await shop.start(shopper)
    assert (await shop.add(session_id)).status_code == 200
    return session_id
