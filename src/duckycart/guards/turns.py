"""A connection has its turns of the event loop, so that what it costs the others is bounded however fast it sends."""

import asyncio
from typing import Final

import structlog

log = structlog.get_logger()

TURN_BYTES: Final = 1024  # parsed in one turn of the event loop: 170 chunks of a byte. A read may have 256 KiB
TURN_PARTS: Final = 16  # frames, or pieces of a request, parsed in one turn: 0.2 ms


class InTurns:
    """A protocol that parses a little in each turn of the event loop. What is left waits for the next turn, and while
    anything waits nothing more is read.

    A subclass hands what it receives to `_came`, parses in `_parse`, and calls `_go_on` when what it was `_holding` may
    be parsed.
    """

    __slots__ = ("_at", "_next_turn", "_waiting")

    def __init__(self) -> None:
        self._waiting: bytes | None = b""  # not parsed yet, from `_at` on; None when nothing is parsed any more
        self._at = 0
        self._next_turn: asyncio.Handle | None = None

    # What a subclass provides

    def _open_transport(self) -> asyncio.Transport | None:
        """Return the connection; None if nobody is there any more, or it is closing."""
        raise NotImplementedError

    def _parse(self, data: bytes, begin: int, end: int) -> int:
        """Parse one piece of `data[begin:end]`, which has at least one byte; return up to where."""
        raise NotImplementedError

    def _holding(self) -> bool:
        """Return whether what comes next must not be parsed yet. Asked before each piece."""
        return False

    def _failed(self) -> None:
        """End this connection, and no other, after an error of ours."""
        if (transport := self._open_transport()) is not None:
            transport.abort()

    # What it gets

    def _came(self, data: bytes) -> None:
        """Take bytes that arrived, and parse what is due in this turn."""
        if self._waiting is None:
            return
        self._waiting = self._waiting[self._at :] + data if self._waiting else data
        self._at = 0
        if self._next_turn is None:
            self._take_turn()

    def _go_on(self) -> None:
        """Parse what waits, in a turn of its own."""
        if self._waiting and self._next_turn is None:
            self._next_turn = asyncio.get_running_loop().call_soon(self._take_turn)

    def _stop(self) -> bytes:
        """Parse nothing any more; returns what was not parsed."""
        rest = b"" if self._waiting is None else self._waiting[self._at :]
        self._waiting = None
        if self._next_turn is not None:
            self._next_turn.cancel()
            self._next_turn = None
        return rest

    def _take_turn(self) -> None:
        self._next_turn = None
        try:
            self._parse_some()
        except Exception:
            log.exception("connection failed")
            self._stop()
            self._failed()

    def _parse_some(self) -> None:
        most = self._at + TURN_BYTES
        for _ in range(TURN_PARTS):
            waiting = self._waiting
            if not waiting or self._at >= min(most, len(waiting)):
                break
            if self._open_transport() is None:
                self._stop()
                return
            if self._holding():
                break
            # The position moves first: who parses may hand over what is behind it, or stop.
            self._at = self._parse(waiting, self._at, min(most, len(waiting)))
        self._after_turn()

    def _after_turn(self) -> None:
        transport = self._open_transport()
        if transport is None or self._waiting is None:
            return
        if self._at < len(self._waiting):
            transport.pause_reading()
            if not self._holding():
                self._go_on()
        else:
            self._waiting = b""
            self._at = 0
            transport.resume_reading()
