"""Lines that come on standard input, for drivers: from a keyboard, a scanner that types, or another program."""

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator
from typing import Final

NAME: Final = "stdin"  # what a driver's `device` is that is none
_claimed: list[str] = []


class Taken(ValueError):
    """Two drivers want standard input."""


def claim(name: str) -> None:
    """Take standard input for this driver. Raises Taken when another has it."""
    if _claimed and _claimed != [name]:
        raise Taken(f"{_claimed[0]} and {name} both read standard input; give one of them a device")
    _claimed[:] = [name]


def release() -> None:
    """Give standard input back."""
    _claimed.clear()


async def lines(name: str) -> AsyncIterator[str]:
    """Yield each line without its end to the driver of this name, until there are no more. Raises Taken.

    In the background of a shell none are read: the terminal would stop the whole process for it.
    """
    claim(name)
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[str | None] = asyncio.Queue()

    def read() -> None:
        try:
            for line in sys.stdin:
                loop.call_soon_threadsafe(queue.put_nowait, line.rstrip("\r\n"))
            loop.call_soon_threadsafe(queue.put_nowait, None)
        except (RuntimeError, ValueError, OSError):
            pass  # the loop has ended, or standard input is closed

    if not _readable():
        return
    # A daemon, because nothing ends a thread that waits for a keyboard.
    threading.Thread(target=read, name="standard input", daemon=True).start()
    while (line := await queue.get()) is not None:
        yield line


def _readable() -> bool:
    try:
        descriptor = sys.stdin.fileno()
        return not os.isatty(descriptor) or os.tcgetpgrp(descriptor) == os.getpgrp()
    except (OSError, ValueError, AttributeError):
        return False
