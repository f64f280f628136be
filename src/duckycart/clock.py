"""Time is handed in from outside, so that tests can move it.

Points in time are whole milliseconds since 1970 in UTC, everywhere inside and in the database; `iso` writes them for
people and JSON. Durations are seconds. How long something has lasted is decided by none of these clocks, where it must
outlast the process: that is the shop's steady clock (`store/steady.py`).
"""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")  # proc_sys_kernel(5)


class Clock(Protocol):
    def now(self) -> int:
        """Return the time of day, in milliseconds since 1970, UTC. May jump when the machine's clock is set."""

    def monotonic(self) -> float:
        """Return seconds that only ever grow; for deadlines."""


@runtime_checkable
class MachineClock(Clock, Protocol):
    """A clock that knows which start of its machine it runs in, and so what passed between two processes."""

    boot_id: str | None  # which start of which machine this is; None where nobody knows

    def uptime(self) -> int:
        """Return the milliseconds since the machine started, also those in which it slept. No correction of the clock
        bends them."""


class SystemClock:
    def __init__(self) -> None:
        try:
            self.boot_id: str | None = _BOOT_ID.read_text().strip()
        except OSError:
            self.boot_id = None
        # Where it is missing, a laptop's sleep does not count.
        self._uptime: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

    def now(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()

    def uptime(self) -> int:
        return time.clock_gettime_ns(self._uptime) // 1_000_000


def iso(milliseconds: int) -> str:
    """Return a time of day in ISO 8601, UTC with `Z`, to the millisecond."""
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
