"""A store by itself, with a gate that holds its writer until the test has handed over the rest of a group."""

import asyncio
import shutil
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Select, insert, select, text

from duckycart.effects import Effect, Happened
from duckycart.store.sqlite import SqliteStore, driver_of
from duckycart.store.tables import alarms
from duckycart.store.transaction import EffectsHandler, Transaction
from duckycart.testing.clock import ManualClock
from duckycart.testing.waiting import PATIENCE


class Effects(list[str]):
    """What was handed out, in order: the name of each."""

    def __call__(self, effects: Iterable[Effect]) -> None:
        self.extend(effect.event for effect in effects if isinstance(effect, Happened))


@asynccontextmanager
async def open_store(
    template: Path, path: Path, on_effects: EffectsHandler | None = None
) -> AsyncIterator[SqliteStore]:
    if not path.exists():  # noqa: ASYNC240 - a test may block
        shutil.copy(template, path)
    store = SqliteStore(path, ManualClock(), Effects() if on_effects is None else on_effects)
    try:
        yield store
    finally:
        await store.close()


class Gate:
    """A transaction that stays open, and the writer with it, until the test lets it go on."""

    def __init__(self) -> None:
        self.open = threading.Event()

    def __call__(self, tx: Transaction) -> None:
        assert self.open.wait(PATIENCE)


def note(text: str) -> Callable[[Transaction], str]:
    """A transaction that leaves one row and one effect."""

    def work(tx: Transaction) -> str:
        tx.connection.execute(insert(alarms).values(at=tx.now, kind="note", detail=text))
        tx.effects.append(Happened(text, cart_id=1))
        return text

    return work


def notes(connection: Connection) -> list[str]:
    """What `note` left, in order."""
    return list(connection.execute(select(alarms.c.detail).order_by(alarms.c.id)).scalars())


def pragma(statement: str) -> Callable[[Transaction], None]:
    """A transaction that only tells the writer's connection something."""

    def work(tx: Transaction) -> None:
        driver_of(tx.connection).execute(f"PRAGMA {statement}")

    return work


@contextmanager
def held(engine: Engine, rows: Select[Any]) -> Iterator[None]:
    """Somebody else's lock on these rows, on PostgreSQL."""
    with engine.begin() as connection:
        assert connection.execute(rows.with_for_update()).all()
        yield


def somebody_waits(engine: Engine) -> Callable[[], Coroutine[Any, Any, bool]]:
    """A condition for `until`: somebody waits for a lock, on PostgreSQL."""
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")

    def look() -> bool:
        with engine.connect() as connection:
            return bool(connection.execute(waiting).scalar_one())

    return lambda: asyncio.to_thread(look)
