from collections.abc import AsyncIterator

import pytest

from duckycart.channels import screen_socket
from duckycart.hardware import socket
from tests.world import Shop, open_shop


@pytest.fixture(autouse=True)
def short_goodbyes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever was told that it is too much here never answers that."""
    monkeypatch.setattr(socket, "CLOSE_SECONDS", 0.2)
    monkeypatch.setattr(screen_socket, "CLOSE_SECONDS", 0.2)


@pytest.fixture
async def shop(sqlite_database: str) -> AsyncIterator[Shop]:
    async with open_shop(sqlite_database, offline_carts="accept", connects=1000) as opened:
        await opened.furnish()
        await opened.add_cart(2)
        yield opened
