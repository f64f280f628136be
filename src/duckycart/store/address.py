"""This module reads the `--database` URL, which says where the database is."""

from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from duckycart.store.refusals import UNSUPPORTED_DATABASE


def locate(database: str, given: str = "with --database or as DUCKYCART_DATABASE") -> Path | URL:
    """Return the file that an sqlite:/// URL names, or the PostgreSQL database of a postgresql:// one.

    Raises BadRequest, with a sentence that says how it was `given`, for anything else.
    """
    try:
        url = make_url(database)
    except (ArgumentError, ValueError):
        url = None
    if url is not None and url.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return url.set(drivername="postgresql+psycopg")
    named = url.database if url is not None and url.get_backend_name() == "sqlite" and not url.query else None
    if not named or named == ":memory:" or "\0" in named:
        shown = database if url is None else url.render_as_string(hide_password=True)
        raise UNSUPPORTED_DATABASE(shown=shown[:100], given=given)
    return Path(named)
