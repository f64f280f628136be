from collections.abc import AsyncIterator

import pytest

from tests.lifecycle.counter import Counter, open_counter


@pytest.fixture
async def counter(database: str) -> AsyncIterator[Counter]:
    async with open_counter(database) as counter:
        yield counter
