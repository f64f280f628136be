from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.world import Shop, open_shop


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with open_shop(f"sqlite:///{tmp_path}/shop.db", offline_carts="accept", connects=1000) as opened:
        await opened.furnish()
        await opened.add_cart(2)
        yield opened
