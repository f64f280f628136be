"""What runs in the server's process: `duckycart` itself, which dies at a named place once a file appears.

The product has no such switches; they are put in from here.
"""

import atexit
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from duckycart import cli
from duckycart.hardware import dispatch, links, ownership, receipts
from duckycart.payments import checkout
from duckycart.providers import sandbox
from duckycart.store import sqlite

MEMBERS = 3  # of the group that dies before its COMMIT


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(
    arguments: list[str],
    environment: dict[str, str],
    log: Path,
    place: str | None,
    armed: Path,
    folder: Path | None,
    inherited: Sequence[socket.socket] = (),
) -> None:
    """Run `duckycart <arguments>` with its output in `log`; at `place`, once `armed` exists, die as by kill -9."""
    with log.open("ab") as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    os.environ.update(environment)
    if folder is not None:
        os.chdir(folder)
    if place is not None:
        PLACES[place](armed.exists)
    for listening in inherited:
        arguments += ["--fd", str(listening.detach())]
    sys.argv = ["duckycart", *arguments]
    try:
        cli.main()
    except SystemExit as end:  # as at the end of an interpreter, which a process of multiprocessing leaves out
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            raise SystemExit(1) from None
        raise
    finally:
        atexit._run_exitfuncs()


Armed = Callable[[], bool]


def _before(owner: Any, name: str, armed: Armed) -> None:
    original = getattr(owner, name)

    def dying(*args: Any, **kwargs: Any) -> Any:
        if armed():
            die()
        return original(*args, **kwargs)

    setattr(owner, name, dying)


def _after(owner: Any, name: str, armed: Armed) -> None:
    original = getattr(owner, name)

    def dying(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        if armed():
            die()
        return result

    setattr(owner, name, dying)


def _after_async(owner: Any, name: str, armed: Armed) -> None:
    original = getattr(owner, name)

    async def dying(*args: Any, **kwargs: Any) -> Any:
        result = await original(*args, **kwargs)
        if armed():
            die()
        return result

    setattr(owner, name, dying)


def _before_commit(armed: Armed) -> None:
    """Hold a group until it has MEMBERS, and die when it is about to commit."""
    run_member = sqlite.SqliteStore._run_member
    members = 0

    def watch(statement: str) -> None:
        nonlocal members
        if statement.startswith("BEGIN"):
            members = 0
        if statement == "COMMIT" and members >= MEMBERS:
            die()

    def holding(store: sqlite.SqliteStore, connection: Any, driver: Any, job: Any) -> None:
        nonlocal members
        if armed():
            driver.set_trace_callback(watch)
            members += 1
            while members + len(store._writes) < MEMBERS and threading.main_thread().is_alive():
                time.sleep(0.001)
        run_member(store, connection, driver, job)

    sqlite.SqliteStore._run_member = holding  # type: ignore[method-assign,assignment]
    sqlite.GROUP_SECONDS = 3600.0  # type: ignore[misc]


def _full_log() -> None:
    """Not to die of: nothing that is logged can be written."""
    full = os.open("/dev/full", os.O_WRONLY)
    for number in (1, 2):
        os.dup2(full, number)


PLACES: dict[str, Callable[[Armed], None]] = {
    "between commit and send": lambda armed: _before(dispatch.Dispatch, "queued", armed),
    "between pong and receipt": lambda armed: _before(receipts.Receipts, "received", armed),
    "before the commit of a group": _before_commit,
    "after the provider was asked": lambda armed: _after_async(sandbox.Sandbox, "open", armed),
    "between a webhook's commit and its answer": lambda armed: _after_async(checkout.Checkout, "record", armed),
    "in a claim, before its commit": lambda armed: _after(ownership, "hand_out", armed),
    "after a claim's commit": lambda armed: _before(links.Links, "take", armed),
    "where its log is full": lambda _: _full_log(),
}
