"""Every administration command shares this: the database it opens, how it answers, how it fails."""

import json
import sqlite3
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, Self, TypeVar

import typer

from duckycart.admin.refusals import (
    BAD_SETTING,
    CANNOT_READ_OR_WRITE,
    CANNOT_USE,
    DATABASE_BUSY,
    NO_DATABASE,
    NOT_A_FILE,
)
from duckycart.clock import SystemClock
from duckycart.errors import BadRequest, DuckyCartError, Unavailable

if TYPE_CHECKING:
    from sqlalchemy import URL, Engine

    from duckycart.currency import Currency
    from duckycart.store.transaction import Transaction

T = TypeVar("T")

DatabaseOption = Annotated[
    str,
    typer.Option("--database", envvar="DUCKYCART_DATABASE", metavar="URL", help="The database of the server."),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="One JSON object on standard output, for the result and for an error alike.")
]


class BadLines(BadRequest):
    """Lines of a file cannot be used."""

    lines: Sequence[tuple[int, str]] = ()  # their numbers, and what is wrong with each
    more: int = 0  # how many there are besides


class Shell:
    """One run of a command: `with Shell(database, as_json) as shell`.

    Whatever can go wrong for reasons outside the program leaves the block as one plain sentence on standard error, or
    with --json as `{"error": code, "detail": sentence}` on standard output, and exit code 1.
    """

    def __init__(self, database: str, as_json: bool) -> None:
        self._database = database
        self._as_json = as_json

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, BrokenPipeError):  # Typer ends quietly when nobody reads any more
            return
        failure = _in_plain_words(error)
        if failure is None:
            return
        self._fail(failure)
        raise typer.Exit(1) from error

    def place(self, *, create: bool = False, restoring: bool = False) -> "Path | URL":
        """Return where the database is. Raises BadRequest for a URL that is none of ours, NotFound for a file unless it
        may be made; Unavailable for one that SQLite must not open, or it would play the journal of another file into it
        (F65)."""
        from duckycart.store.address import locate

        place = locate(self._database)
        if isinstance(place, Path) and not create and not place.exists():
            raise NO_DATABASE(place=place)
        if isinstance(place, Path) and not restoring:
            from duckycart.store.damage import refuse_stale_journal
            from duckycart.store.sqlite import last_taken_with

            refuse_stale_journal(place, last_taken_with(place))
        return place

    def path(self) -> Path:
        """Return the database's file. Raises BadRequest for a database that is no file, NotFound."""
        place = self.place()
        if not isinstance(place, Path):
            raise NOT_A_FILE()
        return place

    def open(self, *, create: bool = False) -> "Engine":
        """Open the database, with the schema of this version. A file that is not there is made only with `create`."""
        from duckycart.store.database import engine_for
        from duckycart.store.migrate import check_postgres, migrate_sqlite

        place = self.place(create=create)
        if not isinstance(place, Path):
            check_postgres(place)
            return engine_for(place)
        if not place.exists():
            self.hint(f"Making a new database, {place.absolute()}: give the server the same --database.")
        copy = migrate_sqlite(place)
        if copy is not None:
            self.hint(f"{place} had the schema of an older version; a copy of it as it was is in {copy}.")
        return engine_for(place)

    def write(self, work: "Callable[[Transaction], T]", *, create: bool = False) -> T:
        """Open the database and run `work` as one transaction; waits while the server writes."""
        from duckycart.store.database import transact

        return transact(self.open(create=create), SystemClock(), work)

    def answer(self, result: dict[str, Any], text: str) -> None:
        """Print the result: as JSON if that was asked for, else `text`."""
        _print(json.dumps(result) if self._as_json else text)

    def hint(self, sentence: str) -> None:
        """Print what a person should know beside the result; kept out of standard output."""
        if not self._as_json:
            typer.echo(sentence, err=True)

    def draw(self, text: str) -> None:
        """Draw a text as a QR for whoever sits at a terminal; beside the result, so not on standard output."""
        if not self._as_json and sys.stderr.isatty():
            from duckycart.drawn_qr import COLOURS, draw

            for line in draw(text, sys.stderr.encoding):
                typer.echo(f"\x1b[{COLOURS}m{line}\x1b[0m", err=True)

    def _fail(self, failure: DuckyCartError) -> None:
        if self._as_json:
            body: dict[str, Any] = {"error": failure.code, "detail": failure.detail}
            if isinstance(failure, BadLines):
                body["lines"] = [{"line": number, "detail": wrong} for number, wrong in failure.lines]
                body["lines_not_shown"] = failure.more
            _print(json.dumps(body))
            return
        if isinstance(failure, BadLines):
            for number, wrong in failure.lines:
                typer.echo(f"line {number}: {wrong}", err=True)
            if failure.more:
                typer.echo(f"… and {failure.more} more", err=True)
        typer.echo(failure.detail, err=True)


def currency_wanted() -> "Currency | None":
    """Return what DUCKYCART_CURRENCY names in this environment. Raises BadRequest, which names the settings that are
    wrong."""
    from pydantic import ValidationError

    from duckycart.settings import Settings

    try:
        return Settings().wanted_currency
    except ValidationError as error:
        wrong = [
            f"DUCKYCART_{str(part['loc'][0]).upper()}" if part["loc"] else str(part["ctx"]["error"])
            for part in error.errors()
        ]
        raise BAD_SETTING(settings=", ".join(sorted(set(wrong)))) from None


def table(*rows: Iterable[object]) -> str:
    """Return rows of cells as aligned columns, two spaces between them."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in cells)


def quoted(given: str) -> str:
    """Return what somebody gave, for a sentence: shortened, nothing in it that a terminal would obey."""
    return repr(given if len(given) <= 60 else given[:57] + "…")


def _in_plain_words(error: BaseException) -> DuckyCartError | None:
    """Return the error as a person is told of it; None for a fault of the program, which must stay visible as one."""
    cause = getattr(error, "orig", error)  # SQLAlchemy wraps what the driver raised; its own text shows the SQL
    match cause:
        case DuckyCartError():
            return cause
        case sqlite3.Error() if getattr(cause, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
            return DATABASE_BUSY()
        case sqlite3.Error():
            return _unusable(str(cause))
        case UnicodeDecodeError(object=bytes(said)) if said.startswith(b"malformed database schema"):
            return _unusable(said.decode(errors="backslashreplace"))  # SQLite's own words hold the damaged bytes
        case OSError(filename=filename, strerror=strerror):
            name = "" if filename is None else f" {filename}"
            return CANNOT_READ_OR_WRITE(name=name, reason=strerror or cause)
    if "psycopg" in sys.modules:  # a driver that is not for everybody; until it is loaded it raises nothing
        from psycopg import Error as PostgresError

        if isinstance(cause, PostgresError):
            return _unusable(cause.diag.message_primary or str(cause))
    return None


def _unusable(reason: str) -> Unavailable:
    reason = " ".join(reason.split())[:300]
    return CANNOT_USE(reason=reason)


def _print(text: str) -> None:
    # A path may hold bytes that are no text; escaped they are still printed.
    encoding = sys.stdout.encoding or "utf-8"
    typer.echo(text.encode(encoding, "backslashreplace").decode(encoding))
