"""Every test here runs with each of the three examples."""

import os
import platform
from collections.abc import AsyncIterator

import pytest

from tests.examples.world import Network, NotHere, command_of, network
from tests.world import Shop

_missing: set[str] = set()


@pytest.fixture(params=["cart.py", "cart.mjs", "cart_micropython.py"])
def command(request: pytest.FixtureRequest) -> list[str]:
    """What starts the example. Where its language is missing the test is skipped aloud; in CI, where it can be
    installed, it fails."""
    try:
        return command_of(request.param)
    except NotHere as reason:
        if os.environ.get("CI") == "true" and platform.machine() == "x86_64":
            pytest.fail(str(reason))
        _missing.add(f"examples/{request.param} was NOT tested: {reason}")
        pytest.skip(str(reason))


@pytest.fixture
async def net(shop: Shop) -> AsyncIterator[Network]:
    """Between the cart and the shop."""
    async with network(shop.port) as net:
        yield net


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in sorted(_missing):
        terminalreporter.write_line(line, yellow=True, bold=True)
