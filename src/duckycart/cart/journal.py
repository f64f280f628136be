"""What the program must know after the power failed is on disk: where the cart stood, and what was not sent yet.

A file is replaced as a whole and flushed with its folder, so a power cut leaves the one before or the one after. It is
written when something changed that matters, twice for an item, and never more than one write is under way or waiting:
SD cards wear.
"""

import asyncio
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from duckycart.cart.machine import CartState, Situation

FORMAT: Final = 1
MAX_BYTES: Final = 262_144  # of a file that is read; what is written has a tenth


class Damaged(Exception):
    """The file is none that this program wrote; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Call:
    """Something that is to be asked of the server, as `calls` does it."""

    what: str  # a key of `calls.WAYS`
    session_id: int
    key: str  # its Idempotency-Key
    body: dict[str, Any] = field(default_factory=dict)

    @property
    def lasting(self) -> bool:
        """Whether the call changes something, and so must not be lost."""
        return self.what in ("add", "remove", "warn")


@dataclass(frozen=True, slots=True)
class Kept:
    """What the journal keeps."""

    cart_id: int
    server: str
    situation: Situation = field(default_factory=Situation)
    tare: int | None = None  # grams that lay in the cart when the session began
    calls: tuple[Call, ...] = ()


class Journal:
    """One file that is always the newest that was kept, or the one before."""

    def __init__(self, path: Path, failed: Callable[[OSError], None]) -> None:
        """Make the journal; `failed` is called, in the event loop, each time it cannot be written."""
        self._path = path
        self._failed = failed
        self._newest: Kept | None = None  # None: nothing waits to be written
        self._last: Kept | None = None
        self._writing: asyncio.Task[None] | None = None

    def read(self) -> Kept | None:
        """Return what was kept; None if there is no file. Raises Damaged, and OSError if it cannot be read."""
        try:
            with self._path.open("rb") as file:
                raw = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            return None
        self._last = _decoded(raw)
        return self._last

    def keep(self, kept: Kept) -> None:
        """Write this down soon, if it is anything new."""
        if kept == (self._newest or self._last):
            return
        self._newest = kept
        if self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._write())

    async def kept(self) -> None:
        """Wait until all that is to be kept is on disk, or could not be written."""
        while self._writing is not None:
            await asyncio.shield(self._writing)

    async def _write(self) -> None:
        try:
            while self._newest is not None:
                kept, self._newest = self._newest, None
                try:
                    await asyncio.to_thread(replace, self._path, _encoded(kept))
                except OSError as error:
                    self._failed(error)
                self._last = kept  # what could not be written is not tried again before it changes
        finally:
            self._writing = None


def replace(path: Path, content: bytes) -> None:
    """Put the content in the place of the file, so that a power cut leaves one of the two. Raises OSError."""
    new = path.with_name(f"{path.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _encoded(kept: Kept) -> bytes:
    situation = kept.situation
    calls = [{"what": one.what, "session": one.session_id, "key": one.key, "body": one.body} for one in kept.calls]
    values = {
        "format": FORMAT,
        "cart": kept.cart_id,
        "server": kept.server,
        "state": situation.state.value,
        "session": situation.session_id,
        "tare": kept.tare,
        "calls": calls,
    }
    return json.dumps(values, indent=1).encode() + b"\n"


def _decoded(raw: bytes) -> Kept:
    try:
        values = json.loads(raw)
        if len(raw) > MAX_BYTES or not isinstance(values, dict):
            raise ValueError("it is none of this program's")
        if values["format"] != FORMAT:
            raise ValueError(f"it has the format {values['format']!r}")
        situation = Situation(CartState(values["state"]), _whole(values["session"]))
        if (situation.session_id is not None) != (situation.state in (CartState.SHOPPING, CartState.HELD)):
            raise ValueError("its state and its session do not go together")
        cart_id, server = _whole(values["cart"]), values["server"]
        if cart_id is None or not isinstance(server, str):
            raise ValueError("it names no cart")
        calls = tuple(map(_call, values["calls"]))
        return Kept(cart_id, server, situation, _whole(values["tare"]), calls)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Damaged(str(error) or type(error).__name__) from error


def _call(values: Any) -> Call:
    call = Call(values["what"], values["session"], values["key"], values["body"])
    texts = isinstance(call.what, str) and isinstance(call.key, str)
    if not texts or type(call.session_id) is not int or not isinstance(call.body, dict) or not call.lasting:
        raise ValueError("a call in it cannot be read")
    return call


def _whole(value: Any) -> int | None:
    if value is not None and type(value) is not int:
        raise ValueError(f"{value!r} is no whole number")
    return value
