"""A database with carts, products and shoppers, made without a server; and calls to one."""

from pathlib import Path
from typing import Any

from sqlalchemy import URL

from duckycart.store.migrate import migrate_sqlite, upgrade_postgres
from duckycart.testing import furnish as kit
from duckycart.testing.caller import Caller
from duckycart.testing.furnish import Furnished


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


async def ask(
    caller: Caller, method: str, path: str, headers: dict[str, str], body: dict[str, object] | None = None
) -> Any:
    """What a call that must succeed was answered: the JSON, None for a redirection."""
    answer = await caller(method, path, body, headers)
    if answer.status not in (200, 303):
        raise SystemExit(f"{method} {path}: {answer.status} {answer.body}")
    return answer.body if answer.ok else None
