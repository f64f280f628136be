"""`duckycart db`: care for the database file."""

import os
import sqlite3
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from duckycart.admin.shell import DEFAULT_DATABASE, DatabaseOption, JsonOption, Shell
from duckycart.errors import BadRequest, Conflict, Unavailable

app = typer.Typer(no_args_is_help=True, help="Back up the database.")


@app.callback()
def _group() -> None:
    # Without a callback Typer would leave out the name of an only command.
    pass


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the copy goes.", show_default=False)],
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it is there.")] = False,
    database: DatabaseOption = DEFAULT_DATABASE,
    as_json: JsonOption = False,
) -> None:
    """Copy the database while the server runs: one consistent state, checked, and complete by itself.

    FILE appears when the copy is complete and checked, never before.

    To restore it: stop the server; remove the database and the files that
    have its name with -wal and -shm behind it; copy FILE into its place.

    Example: duckycart db backup /backup/duckycart-$(date +%F).db
    """
    with Shell(database, as_json) as shell:
        source = shell.path()
        _check_target(source, file, force)
        size = _back_up(source, file, force)
        shell.answer({"file": str(file), "bytes": size}, f"Backed up {source} to {file} ({size} bytes).")


def _check_target(source: Path, target: Path, force: bool) -> None:
    if target.is_dir():
        raise BadRequest("bad_target", f"{target} is a directory; name the file to write.")
    if not target.parent.is_dir():
        raise BadRequest("bad_target", f"There is no directory {target.parent}; make it, or name another file.")
    if target.exists():
        if target.samefile(source):
            raise BadRequest("bad_target", f"{target} is the database itself; name another file.")
        if not force:
            raise Conflict("file_exists", f"{target} is there already; name another file, or replace it with --force.")
    for leftover in (Path(f"{target}-wal"), Path(f"{target}-journal")):
        # SQLite would play it into the copy at its first opening.
        if leftover.exists():
            raise Conflict("file_in_use", f"{leftover} shows that {target} is open elsewhere; name another file.")


def _back_up(source: Path, target: Path, force: bool) -> int:
    """Copy under another name, check, make durable, rename. Returns the size in bytes."""
    from duckycart.store.migrate import backup_sqlite

    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:100]}.")  # readable for its owner only
    half = Path(name)
    try:
        backup_sqlite(source, half)
        _check_copy(half)
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
        raise Unavailable("damaged", f"The database is damaged, no backup was kept; SQLite says: {verdict}")
    if not ours:
        raise BadRequest("not_duckycart", "This is no database of DuckyCart, no backup was kept; see --database.")
