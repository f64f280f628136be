"""Every test here runs with each of the three examples."""

import os
import platform
from collections.abc import AsyncIterator

import pytest

from tests.examples.world import Network, NotHere, command_of, network
from tests.world import Shop


@pytest.fixture(params=["cart.py", "cart.mjs", "cart_micropython.py"])
def command(request: pytest.FixtureRequest) -> list[str]:
    return started_by(request.param)


def started_by(example: str) -> list[str]:
    """What starts the example. Where its language is missing the test is skipped aloud; in CI, where it can be
    installed, it fails."""
    try:
        return command_of(example)
    except NotHere as reason:
        if os.environ.get("CI") == "true" and platform.machine() == "x86_64":
            pytest.fail(str(reason))
        pytest.skip(f"examples/{example} was NOT tested: {reason}")


@pytest.fixture
async def net(shop: Shop) -> AsyncIterator[Network]:
    """Between the cart and the shop."""
    async with network(shop.endpoint) as net:
        yield net


@pytest.fixture
def database(sqlite_database: str) -> str:
    """Which database the server has is not seen from here."""
    return sqlite_database
