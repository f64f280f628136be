"""A shop whose clock is set, while it runs or between two runs."""

from collections.abc import AsyncIterator

import pytest

from tests.conftest import OpenShop
from tests.corrections.world import CORRECTIONS, Correction, Set


@pytest.fixture(params=CORRECTIONS, ids=str)
def correction(request: pytest.FixtureRequest) -> Correction:
    given: Correction = request.param
    return given


@pytest.fixture
async def corrected(opening: OpenShop, correction: Correction) -> AsyncIterator[Set]:
    """`corrected.shop` runs; after `await corrected()` it has another time of day, and may be another process."""
    async with Set(opening, correction) as corrected:
        await corrected.shop.furnish()
        await corrected.shop.add_cart(2)
        await corrected.shop.add_cart(3)
        yield corrected
