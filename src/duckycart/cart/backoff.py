"""A server that did not do what it was asked is left alone for a while, longer each time."""

from random import Random
from typing import Final

FIRST: Final = 0.5  # seconds; the first delay is at most this
LONGEST: Final = 20.0  # seconds; no delay that is drawn is ever longer
STEADY: Final = 10.0  # seconds a connection must have been open to count as a success


class Backoff:
    """Exponential delays with full jitter: drawn between 0 and a limit that doubles from FIRST to LONGEST.

    So a cart is back LONGEST after its server at the latest, and the carts of a store, which all lost it in the same
    moment, come back spread over that time: ten thousand are 500 in a second, and a server takes in six times as many.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._limit = FIRST

    def delay(self, at_least: float = 0.0) -> float:
        """Return the seconds to wait before the next try; `at_least` comes from the server or from what went wrong."""
        drawn = self._random.uniform(0, self._limit)
        self._limit = min(LONGEST, self._limit * 2)
        return max(at_least, drawn)

    def succeeded(self) -> None:
        """Begin again at FIRST."""
        self._limit = FIRST

    def was_open(self, seconds: float) -> None:
        """Begin again at FIRST if a connection was open for long enough before it ended.

        Opening it does not count by itself: a server that accepts and closes at once would be hammered.
        """
        if seconds >= STEADY:
            self.succeeded()
