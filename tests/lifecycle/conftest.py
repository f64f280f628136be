import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.lifecycle.counter import Counter, open_counter


@pytest.fixture
async def counter(template: Path, tmp_path: Path) -> AsyncIterator[Counter]:
    path = Path(shutil.copy(template, tmp_path / "counter.db"))
    async with open_counter(path) as counter:
        yield counter
