"""A crowd that comes at once goes in a few at a time: carts after an outage, screens that open streams and sockets."""

import asyncio
from collections import deque
from collections.abc import Callable

import structlog

log = structlog.get_logger()


class Turnstile:
    """Lets `a_turn` callers in in one turn of the event loop, as long as fewer than `most` are inside; the others wait
    in front, in the order in which they came.

    Fielded carts that are refused come again without any delay: 5,000 of them were refused 75,000 times in a minute,
    and hardly one was let in. Fielded screens never come again. One that waits costs nothing but memory, so whoever
    comes is refused only when `places` wait or are inside.
    """

    def __init__(self, whose: str, places: int, inside: Callable[[], int], *, a_turn: int, most: int) -> None:
        """Make a turnstile with nobody before it. `whose` is for the log, in the plural; `inside` counts those who went
        in and did not come out."""
        self._whose = whose
        self.places = places
        self._inside = inside
        self._a_turn = a_turn
        self.most = most  # whoever raises it later calls `go_on`
        self._waiting: deque[Callable[[], None]] = deque()
        self._turn: asyncio.Handle | None = None
        self._full_logged = False  # once for each time that it is full

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._waiting)

    def enter(self, go_in: Callable[[], None]) -> bool:
        """Call `go_in` when there is room; return False if too many wait already."""
        if len(self._waiting) + self._inside() >= self.places:
            if not self._full_logged:
                self._full_logged = True
                log.warning(f"too many {self._whose} are connecting, the rest is refused", waiting=len(self._waiting))
            return False
        self._waiting.append(go_in)
        self.go_on()
        return True

    def go_on(self) -> None:
        """Let the next ones in, now that somebody came or came out."""
        if self._turn is None and self._waiting:
            self._turn = asyncio.get_running_loop().call_soon(self._let_in)

    def _let_in(self) -> None:
        self._turn = None
        for _ in range(min(self._a_turn, len(self._waiting), self.most - self._inside())):
            asyncio.get_running_loop().call_soon(self._waiting.popleft())
        if self._inside() < self.most:
            self.go_on()
        if not self._waiting:
            self._full_logged = False
