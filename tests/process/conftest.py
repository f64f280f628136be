"""A server in a process of its own."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.process.world import Served, serving


@pytest.fixture
async def served(template: Path, tmp_path: Path) -> AsyncIterator[Served]:
    """Not yet started, on an empty database."""
    with serving(tmp_path) as served:
        shutil.copy(template, served.database)
        yield served
        await served.http.aclose()
