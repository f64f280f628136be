"""Where the database is: reads the `--database` URL."""

from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from duckycart.errors import BadRequest


def sqlite_path(database: str) -> Path:
    """The file that an sqlite:/// URL names. Raises BadRequest, with a sentence, for any other URL."""
    if database.startswith("postgres"):
        raise BadRequest("unsupported_database", "PostgreSQL is not supported yet; use sqlite:///FILE.")
    try:
        url = make_url(database)
    except (ArgumentError, ValueError):
        url = None
    named = url.database if url is not None and url.get_backend_name() == "sqlite" and not url.query else None
    if not named or named == ":memory:" or "\0" in named:
        raise BadRequest(
            "unsupported_database",
            f"{database[:100]!a} is no database that can be used here; name a file, like sqlite:///duckycart.db.",
        )
    return Path(named)
