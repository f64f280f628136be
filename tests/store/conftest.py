"""A store on a new database, and the effects it handed out."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from duckycart.store import sqlite
from duckycart.store.database import open_database
from duckycart.store.sqlite import SqliteStore
from duckycart.store.transaction import Store
from duckycart.testing.clock import ManualClock
from tests.store.world import Effects, open_store


@pytest.fixture
def effects() -> Effects:
    return Effects()


@pytest.fixture
async def store(template: Path, tmp_path: Path, effects: Effects) -> AsyncIterator[SqliteStore]:
    async with open_store(template, tmp_path / "store.db", effects) as opened:
        yield opened


@pytest.fixture
async def either(database: str) -> AsyncIterator[Store]:
    """Either store, on a new database."""
    opened = open_database(database)
    store = opened.open(ManualClock(), Effects())
    yield store
    await store.close()
    opened.release()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A group waits for as many members as it may have, so that a test decides who shares one."""
    monkeypatch.setattr(sqlite, "GROUP_SECONDS", 3600.0)
