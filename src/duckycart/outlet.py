"""Nobody ever waits for this process's standard output and standard error.

A pipe that nobody reads takes 64 KiB, a terminal stopped with Ctrl-S less; then whoever writes to it stands still. So a
thread writes, and what it cannot write waits, up to a bound; beyond that lines are dropped and counted. The descriptor
is left as it is: others share it (the shell, the parent's terminal), and do not expect it to refuse.
"""

import atexit
import io
import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from typing import Final, TextIO, cast

GATHER_SECONDS: Final = 0.01  # in which lines come together before they are written: each write is a fight for Python
MAX_WAITING: Final = 1_048_576  # characters: some 5,000 lines
CLOSE_SECONDS: Final = 2.0  # at the end, for what waits


class Outlet(io.TextIOBase):
    """Takes text at once, always; a thread of its own writes it to the descriptor of `stream`, in order.

    Lines that find no room, and lines that cannot be written (a full disk, a terminal that is gone: F33), are lost;
    `lost` makes the line that says how many, and it stands where they would have stood.
    """

    def __init__(self, stream: TextIO, lost: Callable[[int], str], broken: Callable[[], None] | None = None) -> None:
        """Begin to write. `broken` is called, in the thread, when the reader of a pipe is gone; what comes after that
        is dropped.

        Raises OSError for a stream without a descriptor.
        """
        self._stream = stream
        self._fd = stream.fileno()
        self._terminal = stream.isatty()
        self._lost = lost
        self._broken = broken
        self._is_broken = False
        self._changed = threading.Condition()
        self._half = ""  # of a line that is not whole yet
        self._waiting: list[str] = []
        self._size = 0  # characters that wait
        self._dropped = 0  # lines that found no room behind those that wait
        self._writing = False  # the thread has something in its hands
        self._settling = False  # somebody waits for it
        self._ended = False  # nothing is taken any more
        self._thread = threading.Thread(target=self._run, name=f"outlet-{self._fd}", daemon=True)
        self._thread.start()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding or "utf-8"

    @property
    def errors(self) -> str:  # type: ignore[override]
        return "backslashreplace"  # what cannot be said in that encoding is no reason to say nothing

    def fileno(self) -> int:
        return self._fd

    def isatty(self) -> bool:
        return self._terminal

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        with self._changed:
            whole, newline, self._half = (self._half + text).rpartition("\n")
            if newline:
                self._take(whole + newline)
            if len(self._half) > MAX_WAITING:
                self._take_half()
        return len(text)

    def flush(self) -> None:
        """Send half a line on its way. Nothing is waited for."""
        with self._changed:
            self._take_half()

    def settle(self) -> bool:
        """Wait until everything is written or lost, CLOSE_SECONDS at most. Returns whether it is."""
        self.flush()
        with self._changed:
            self._settling = True
            self._changed.notify_all()
            settled = self._changed.wait_for(lambda: not (self._waiting or self._writing), CLOSE_SECONDS)
            self._settling = False
        return settled

    def end(self) -> None:
        """Settle, and take nothing any more.

        Python ends daemon threads wherever they are, and then flushes this: a thread that has just woken up would take
        the lock with it, and the process never end. One that still writes has no lock.
        """
        settled = self.settle()
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        if settled:
            self._thread.join()

    def _take_half(self) -> None:
        half, self._half = self._half, ""
        if half:
            self._take(half)

    def _take(self, text: str) -> None:
        if self._is_broken or self._ended:
            return
        if self._waiting and self._size + len(text) > MAX_WAITING:
            self._dropped += _lines(text)
            return
        self._waiting.append(text)
        self._size += len(text)
        if len(self._waiting) == 1:
            self._changed.notify_all()

    # In the thread

    def _run(self) -> None:
        unwritten = 0  # lines
        while True:
            with self._changed:
                self._writing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting or self._ended)
                if self._ended and not self._waiting:
                    return
                self._changed.wait_for(lambda: self._settling, GATHER_SECONDS)
                self._writing = True
                text, self._waiting, self._size = "".join(self._waiting), [], 0
                dropped, self._dropped = self._dropped, 0
            try:
                before = self._lost(unwritten) if unwritten else ""
                behind = self._lost(dropped) if dropped else ""
                self._write(f"{before}{text}{behind}".encode(self.encoding, self.errors))
                unwritten = 0
            except BrokenPipeError:
                self._is_broken = True
                if self._broken is not None:
                    self._broken()
            except OSError:
                unwritten += _lines(text) + dropped

    def _write(self, data: bytes) -> None:
        while data:
            try:
                data = data[os.write(self._fd, data) :]
            except BlockingIOError:  # somebody else who shares the descriptor wanted it so
                select.select([], [self._fd], [])


def _lines(text: str) -> int:
    return max(1, text.count("\n"))


def write_behind(lost: Callable[[int], str], broken: Callable[[], None] | None = None) -> None:
    """Make nobody in this process wait for its standard output and standard error from now on. `broken` is called when
    nobody reads the output any more. At the end what waits is written, in CLOSE_SECONDS or not at all."""
    sys.stdout, sys.stderr = _outlet(sys.stdout, lost, broken), _outlet(sys.stderr, lost)


def _outlet(stream: TextIO, lost: Callable[[int], str], broken: Callable[[], None] | None = None) -> TextIO:
    try:
        outlet = Outlet(stream, lost, broken)
    except (OSError, AttributeError):  # no descriptor, or no stream at all: nothing to wait for
        return stream
    atexit.register(outlet.end)
    return cast(TextIO, outlet)


def terminate() -> None:
    """End this process as SIGTERM from outside would: tidily, where it handles that."""
    os.kill(os.getpid(), signal.SIGTERM)
