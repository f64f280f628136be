"""Fixtures: a migrated database of either kind, and a running shop to talk to."""

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import structlog
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from structlog.dev import plain_traceback

from duckycart import passwords
from duckycart.store import postgres as store_on_postgres
from duckycart.store import threads
from duckycart.store.migrate import migrate_sqlite
from duckycart.testing.waiting import PATIENCE
from tests.nats import NatsServer, nats_server
from tests.postgres import Postgres, some_postgres
from tests.process.world import Served, serving
from tests.world import Shop, open_shop

pytest_plugins = ["tests.watchdog"]

# A machine that is slow fails no test.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")

# structlog's own defaults, but for tracebacks: it would draw those for seconds.
structlog.configure(
    [*structlog.get_config()["processors"][:-1], structlog.dev.ConsoleRenderer(exception_formatter=plain_traceback)]
)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Whatever was not tested is said aloud. Only this file's hook runs where the reports of all processes arrive."""
    skipped = {report.longrepr[2] for report in terminalreporter.stats.get("skipped", [])}
    for reason in sorted(skipped):
        terminalreporter.write_line(reason.removeprefix("Skipped: "), red=True, bold=True)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and item.get_closest_marker("any_store") and "postgres" in item.name:
            item.add_marker(pytest.mark.proof)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is slow fails no test; what the deadline promises has tests of its own. Not in other processes."""
    monkeypatch.setattr(threads, "ANSWER_SECONDS", PATIENCE)
    monkeypatch.setattr(store_on_postgres.Bounded, "patience", PATIENCE)


@pytest.fixture(scope="session", autouse=True)
def cheap_passwords() -> Iterator[None]:
    """A hash costs tens of milliseconds on purpose; not a thousand times here. Other processes do as ever."""
    with pytest.MonkeyPatch.context() as patch:
        cheap = PasswordHash((Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1),))
        patch.setattr(passwords, "_argon2", cheap)
        yield


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database of the present schema; copying it is quicker than migrating."""
    path = tmp_path_factory.mktemp("template") / "template.db"
    migrate_sqlite(path)
    return path


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL for all tests, started when the first one asks."""
    with some_postgres() as postgres:
        yield postgres


@pytest.fixture(scope="session")
def nats() -> Iterator[NatsServer]:
    """A NATS for all tests that leave it alone."""
    with nats_server() as server:
        yield server


@pytest.fixture
def sqlite_database(template: Path, tmp_path: Path) -> str:
    """The URL of a new database of the present schema."""
    path = Path(shutil.copy(template, tmp_path / "shop.db"))
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_database(postgres: Postgres) -> Iterator[str]:
    with postgres.migrated() as url:
        yield url.render_as_string(hide_password=False)


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> str:
    """What both stores promise is proved on both. A folder whose tests look elsewhere says which one it takes."""
    url: str = request.getfixturevalue(f"{request.param}_database")
    return url


@pytest.fixture
async def served(template: Path, tmp_path: Path) -> AsyncIterator[Served]:
    """A server in a process of its own, not yet started, on an empty database."""
    with serving(tmp_path) as served:
        shutil.copy(template, served.database)
        yield served
        await served.http.aclose()


OpenShop = Callable[..., AbstractAsyncContextManager[Shop]]


@pytest.fixture
def opening(database: str, monkeypatch: pytest.MonkeyPatch) -> OpenShop:
    """Opens shops on one database, one after the other, with any settings: `async with opening(…) as shop`."""
    # Each has a connection, which costs more than all the rest of a test. The tests of real processes have all.
    monkeypatch.setattr(store_on_postgres, "WRITERS", 4)
    monkeypatch.setattr(store_on_postgres, "READERS", 2)

    def opener(**settings: Any) -> AbstractAsyncContextManager[Shop]:
        return open_shop(database, **settings)

    return opener


@pytest.fixture
async def shop(opening: OpenShop) -> AsyncIterator[Shop]:
    """A running server with cart 1, three products and a clock that stands still."""
    async with AsyncExitStack() as stack:
        shop = await stack.enter_async_context(opening())
        await shop.furnish()
        yield shop
