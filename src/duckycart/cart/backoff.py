"""A server that did not do what it was asked is left alone for a while, longer each time."""

from random import Random
from typing import Final

FIRST: Final = 0.5  # seconds; the first delay is at most this
LONGEST: Final = 60.0  # seconds; no delay is ever longer
STEADY: Final = 10.0  # seconds a connection must have been open to count as a success


class Backoff:
    """Exponential delays with full jitter: drawn between 0 and a limit that doubles from FIRST to LONGEST.

    Full jitter, because a store's carts all lose their server in the same moment and must not all come back
    in the same moment.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._limit = FIRST

    def delay(self, at_least: float = 0.0) -> float:
        """Return the seconds to wait before the next try; `at_least` comes from the server. Never above LONGEST."""
        drawn = self._random.uniform(0, self._limit)
        self._limit = min(LONGEST, self._limit * 2)
        return min(LONGEST, max(at_least, drawn))

    def succeeded(self) -> None:
        """Begin again at FIRST."""
        self._limit = FIRST

    def was_open(self, seconds: float) -> None:
        """Begin again at FIRST if a connection was open for long enough before it ended.

        Opening it does not count by itself: a server that accepts and closes at once would be hammered.
        """
        if seconds >= STEADY:
            self.succeeded()
