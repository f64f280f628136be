"""Fixtures: a migrated database to copy, and a running shop to talk to."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.dev import plain_traceback

from duckycart.store.migrate import migrate_sqlite
from tests.world import Shop, open_shop

# structlog's own defaults, but for tracebacks: it would draw those for seconds.
structlog.configure(
    [*structlog.get_config()["processors"][:-1], structlog.dev.ConsoleRenderer(exception_formatter=plain_traceback)]
)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database of the present schema; copying it is quicker than migrating."""
    path = tmp_path_factory.mktemp("template") / "template.db"
    migrate_sqlite(path)
    return path


OpenShop = Callable[..., AbstractAsyncContextManager[Shop]]


@pytest.fixture
def opening(template: Path, tmp_path: Path) -> OpenShop:
    """Opens shops on one database file, one after the other, with any settings: `async with opening(…) as shop`."""

    def opener(**settings: Any) -> AbstractAsyncContextManager[Shop]:
        return open_shop(template, tmp_path / "shop.db", **settings)

    return opener


@pytest.fixture
async def shop(opening: OpenShop) -> AsyncIterator[Shop]:
    """A running server with cart 1, three products and a clock that stands still."""
    async with AsyncExitStack() as stack:
        shop = await stack.enter_async_context(opening())
        await shop.furnish()
        yield shop
