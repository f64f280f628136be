"""`duckycart db` cares for the database."""

import os
import sqlite3
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from duckycart import defaults
from duckycart.admin.refusals import (
    BAD_TARGET,
    COPY_TO_A_FILE,
    DAMAGED_NO_BACKUP,
    FILE_EXISTS,
    FILE_IN_USE,
    NO_DIRECTORY,
    NO_FILE_TO_RESTORE,
    NOT_DUCKYCART,
    TARGET_IS_THE_DATABASE,
)
from duckycart.admin.shell import DatabaseOption, JsonOption, Shell, currency_wanted
from duckycart.clock import SystemClock

app = typer.Typer(
    no_args_is_help=True,
    help="Care for the database: upgrade, check, back up, restore, copy, prune, its currency.",
)


@app.command()
def upgrade(database: DatabaseOption = defaults.DATABASE, as_json: JsonOption = False) -> None:
    """Make the database's tables, or bring them to this version. Needed for PostgreSQL; a file does it by itself.

    Several at once wait for each other, and servers of the version before go
    on meanwhile: upgrade first, then start the new servers.

    Example: duckycart db upgrade --database postgresql+psycopg://duckycart@db/duckycart
    """
    from duckycart.store.migrate import migrate_sqlite, name_of, upgrade_postgres

    with Shell(database, as_json) as shell:
        place = shell.place(create=True)
        if isinstance(place, Path):
            copy = migrate_sqlite(place)
            note = "" if copy is None else f" A copy of it as it was is in {copy}."
            shell.answer({"database": str(place)}, f"{place} has the schema of this version.{note}")
            return
        before, now = upgrade_postgres(place)
        done = "was made" if before is None else "has it already" if before == now else f"was upgraded from {before}"
        shell.answer({"database": name_of(place), "before": before, "schema": now}, f"Schema {now}: {done}.")


@app.command()
def check(database: DatabaseOption = defaults.DATABASE, as_json: JsonOption = False) -> None:
    """Look whether the database can be reached, is whole, and has the schema of this version. Changes nothing.

    The exit code is 0 if a server could use it as it is. Every page and index
    of a file is looked at, which takes some seconds for each GiB.

    Example: duckycart db check --database postgresql+psycopg://duckycart@db/duckycart
    """
    from duckycart.store.currency import agreed, read_currency
    from duckycart.store.damage import refuse_damaged
    from duckycart.store.database import engine_for
    from duckycart.store.migrate import check_postgres, check_sqlite, name_of

    with Shell(database, as_json) as shell:
        place = shell.place()
        name = str(place) if isinstance(place, Path) else name_of(place)
        if isinstance(place, Path):
            refuse_damaged(place)
        schema = check_sqlite(place) if isinstance(place, Path) else check_postgres(place)
        with engine_for(place).connect() as connection:
            currency = read_currency(connection)
        if currency is not None:
            agreed(currency, currency_wanted())
        shell.answer(
            {"database": name, "schema": schema, "currency": currency and currency.code},
            f"{name} has schema {schema}, that of this version"
            f"{'' if currency is None else f', and prices in {currency.code}'}.",
        )


@app.command("currency")
def currency_(
    code: Annotated[
        str | None, typer.Argument(metavar="[CODE]", help="Another one, by its ISO 4217 code.", show_default=False)
    ] = None,
    database: DatabaseOption = defaults.DATABASE,
    as_json: JsonOption = False,
) -> None:
    """Say what the prices of the database are in, or change it. The server must be stopped for a change.

    A database has one currency, from its first product or session on. It can
    be changed as long as nobody has shopped: a price of 12.50 stays 12.50.

    Example: duckycart db currency JPY
    """
    from duckycart.currency import currency_of
    from duckycart.store.currency import change_currency, read_currency
    from duckycart.store.database import alone_with

    with Shell(database, as_json) as shell:
        if code is None:
            with shell.open().connect() as connection:
                present = read_currency(connection)
        else:
            present = currency_of(code.upper())
            with alone_with(shell.place()):
                shell.write(lambda tx: change_currency(tx, present))
        shell.answer(
            {"currency": present and present.code, "digits": present and present.digits},
            "No currency yet: the first product or session decides."
            if present is None
            else f"Prices are in {present.code}, with {present.digits} decimals.",
        )


@app.command()
def copy(
    target: Annotated[str, typer.Argument(metavar="URL", help="An empty PostgreSQL database.", show_default=False)],
    database: DatabaseOption = defaults.DATABASE,
    as_json: JsonOption = False,
) -> None:
    """Copy an SQLite file into PostgreSQL, for a shop that grows. The server must be stopped; the file stays as it is.

    Every table is compared by count and checksum before the copy counts. Then
    start the server with the new --database: carts, screens and shoppers go on.

    Example: duckycart db upgrade --database postgresql+psycopg://duckycart@db/duckycart

    and then: duckycart db copy postgresql+psycopg://duckycart@db/duckycart
    """
    from duckycart.store.address import locate
    from duckycart.store.copy import copy_database

    with Shell(database, as_json) as shell:
        source, place = shell.path(), locate(target, "as URL")
        if isinstance(place, Path):
            raise COPY_TO_A_FILE()
        copied = copy_database(source, place, lambda table, done, all_: shell.hint(f"{table}: {done} of {all_} rows"))
        rows = sum(copied.values())
        shell.answer({"rows": copied}, f"Copied {rows} rows of {len(copied)} tables, and compared them.")


@app.command()
def prune(
    days: Annotated[int, typer.Option(min=1, max=36_500, help="Forget what ended longer ago.")],
    database: DatabaseOption = defaults.DATABASE,
    as_json: JsonOption = False,
) -> None:
    """Forget old sessions: who it was, what was in the basket, what the cart was told. Also while the server runs.

    Payments, amounts and times stay, as those of nobody. Accounts stay;
    guests without a session go. There is no way back but a backup. Days are the
    calendar's: see that the machine's clock is right. What ended within a day by
    the time that really passed stays, whatever the clock says.

    Example, once a day: duckycart db prune --days 90
    """
    from duckycart.lifecycle.retention import Forgotten, forget_sessions, forget_the_rest
    from duckycart.store.database import transact

    with Shell(database, as_json) as shell:
        engine, clock = shell.open(), SystemClock()
        before = clock.now() - days * 86_400_000
        total = Forgotten()
        while (gone := transact(engine, clock, lambda tx: forget_sessions(tx, before))).sessions:
            total += gone
            shell.hint(f"{total.sessions} sessions")
        total += transact(engine, clock, lambda tx: forget_the_rest(tx, before))
        shell.answer(
            asdict(total),
            f"Forgotten: {total.sessions} sessions, {total.commands} commands, {total.guests} guests, "
            f"{total.others} alarms and webhooks.",
        )


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the copy goes.", show_default=False)],
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it is there.")] = False,
    database: DatabaseOption = defaults.DATABASE,
    as_json: JsonOption = False,
) -> None:
    """Copy the database while the server runs: one consistent state, checked, and complete by itself.

    FILE appears when the copy is complete and checked, never before.

    `duckycart db restore FILE` brings it back. Do not copy it over the
    database: the changes that lie beside that would be played into it.

    Example: duckycart db backup /backup/duckycart-$(date +%F).db
    """
    with Shell(database, as_json) as shell:
        source = shell.path()
        _check_target(source, file, force)
        size = _back_up(source, file, force)
        shell.answer({"file": str(file), "bytes": size}, f"Backed up {source} to {file} ({size} bytes).")


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A backup.", show_default=False)],
    database: DatabaseOption = defaults.DATABASE,
    as_json: JsonOption = False,
) -> None:
    """Put a backup into the database's place. The server must be stopped; what was there is kept under a dated name.

    The backup is checked, and brought to the schema of this version, before
    anything is changed; it stays as it is. For PostgreSQL use pg_restore.

    Example: duckycart db restore /backup/duckycart-2026-11-26.db
    """
    from duckycart.store.restore import restore_sqlite

    with Shell(database, as_json) as shell:
        place = shell.place(create=True, restoring=True)
        if not isinstance(place, Path):
            raise NO_FILE_TO_RESTORE()
        restored = restore_sqlite(file, place)
        result = {"database": str(place), **asdict(restored), "kept": restored.kept and str(restored.kept)}
        older = restored.schema_before != restored.schema
        sentence = f"{place} is the backup {file} now."
        if older:
            sentence += f" It had schema {restored.schema_before} and was brought to {restored.schema}."
        if restored.kept is not None:
            sentence += f" What was there before is in {restored.kept}."
        shell.answer(result, f"{sentence} The server can be started.")


def _check_target(source: Path, target: Path, force: bool) -> None:
    if target.is_dir():
        raise BAD_TARGET(target=target)
    if not target.parent.is_dir():
        raise NO_DIRECTORY(directory=target.parent)
    if target.exists():
        if target.samefile(source):
            raise TARGET_IS_THE_DATABASE(target=target)
        if not force:
            raise FILE_EXISTS(target=target)
    for leftover in (Path(f"{target}-wal"), Path(f"{target}-journal")):
        # SQLite would play it into the copy at its first opening.
        if leftover.exists():
            raise FILE_IN_USE(leftover=leftover, target=target)


def _back_up(source: Path, target: Path, force: bool) -> int:
    """Copy under another name, check, make durable, rename. Returns the size in bytes."""
    from duckycart.store.damage import set_mark
    from duckycart.store.migrate import backup_sqlite

    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:100]}.")  # readable for its owner only
    half = Path(name)
    try:
        backup_sqlite(source, half)
        _check_copy(half)
        set_mark(half)
        os.fsync(handle)
        size = half.stat().st_size
        _check_target(source, target, force)  # again: copying may have taken long
        half.replace(target)
    except BaseException:
        half.unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)
    directory = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(directory)  # the name too survives a power cut
    finally:
        os.close(directory)
    return size


def _check_copy(copy: Path) -> None:
    # immutable: nobody else knows this file, so no lock and no -shm file beside it
    connection = sqlite3.connect(f"{copy.absolute().as_uri()}?immutable=1", uri=True)
    try:
        verdict = connection.execute("PRAGMA quick_check").fetchone()[0]
        ours = connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'alembic_version'").fetchone()[0]
    finally:
        connection.close()
    if verdict != "ok":
        raise DAMAGED_NO_BACKUP(verdict=verdict)
    if not ours:
        raise NOT_DUCKYCART()
