"""systemd, or whoever speaks as it does, hears from this process by the contract of sd_notify(3)."""

import os
import socket
from contextlib import suppress


def notify(*assignments: str) -> None:
    """Send these lines, like `READY=1`, where NOTIFY_SOCKET names somebody who listens. Who does not hear holds up
    nothing."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path  # the abstract namespace of Linux
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as mouth:
        mouth.setblocking(False)
        mouth.sendto("\n".join(assignments).encode(), address)


def watchdog_seconds() -> float | None:
    """Return how often to send `WATCHDOG=1`, which is twice in the time that is allowed; None if nobody waits for
    it."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None  # a parent's
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    return int(microseconds) / 2_000_000 if microseconds.isdecimal() and int(microseconds) else None
