from collections.abc import AsyncIterator

import pytest

from tests.lifecycle.cart_in_store import CartInStore, open_cart_in_store


@pytest.fixture
async def cart(database: str) -> AsyncIterator[CartInStore]:
    async with open_cart_in_store(database) as cart:
        yield cart
