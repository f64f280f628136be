"""What systemd, or whoever speaks as it does, is told of this process: the contract of sd_notify(3)."""

import os
import socket
from contextlib import suppress


def notify(*assignments: str) -> None:
    """Say these, like `READY=1`, where NOTIFY_SOCKET names somebody who listens. Who does not hear holds up nothing."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path  # the abstract namespace of Linux
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as mouth:
        mouth.setblocking(False)
        mouth.sendto("\n".join(assignments).encode(), address)


def watchdog_seconds() -> float | None:
    """How often `WATCHDOG=1` is to be said, which is twice in the time that is allowed; None if nobody waits for it."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None  # a parent's
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    return int(microseconds) / 2_000_000 if microseconds.isdecimal() and int(microseconds) else None
