"""Time, handed in from outside so that tests can move it.

Points in time are whole milliseconds since 1970 in UTC, everywhere inside and in the database; `iso` writes them for
people and JSON. Durations are seconds.
"""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def now(self) -> int:
        """The time of day, in milliseconds since 1970, UTC. May jump when the machine's clock is set."""

    def monotonic(self) -> float:
        """Seconds that only ever grow; for deadlines."""


class SystemClock:
    def now(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()


def iso(milliseconds: int) -> str:
    """ISO 8601 in UTC with `Z`, to the millisecond."""
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
