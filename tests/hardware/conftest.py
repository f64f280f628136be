"""A shop whose carts are cut off at the end of the test, or a deaf one would hold the server's stop up."""

from collections.abc import AsyncIterator, Iterator

import pytest
from structlog.testing import capture_logs

from tests.hardware.helpers import Logged, cut_all
from tests.world import Shop


@pytest.fixture(name="shop")
async def shop_without_carts_left(shop: Shop) -> AsyncIterator[Shop]:
    yield shop
    await cut_all(shop)


@pytest.fixture
def logged() -> Iterator[Logged]:
    with capture_logs() as lines:
        yield lines
