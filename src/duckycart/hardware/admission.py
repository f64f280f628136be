"""Who may try to connect now: the brake for one cart, the turnstile for all."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from duckycart.hardware.ending import Refused

log = structlog.get_logger()

WINDOW_SECONDS: Final = 10.0
A_TURN: Final = 4  # handshakes begun in one turn of the event loop, 2 ms: a shopper's request waits for so much
INSIDE: Final = 256  # handshakes under way: two batches of claims at the store, and the two that follow


class Refusal(Exception):
    """The handshake is answered with the status of `why` instead of 101. Never after the upgrade (F08)."""

    def __init__(self, why: Refused, sentence: str | None = None, retry_after: int | None = None) -> None:
        """`sentence` says more than `why` does by itself."""
        self.why = why
        self.sentence = sentence or why.sentence
        self.retry_after = retry_after  # seconds
        super().__init__(self.sentence)


@dataclass(slots=True)
class Brake:
    """Counts accepted connects per cart. Fielded carts reconnect without any delay after a close; two with one key kick
    each other out hundreds of times a second, so more than `connects` in 10 s are one too many."""

    connects: int
    monotonic: Callable[[], float]
    _accepted: dict[int, tuple[float, ...]] = field(default_factory=dict)

    def retry_after(self, cart_id: int) -> int | None:
        """Seconds until this cart may connect again, None if it may now."""
        now = self.monotonic()
        recent = tuple(at for at in self._accepted.get(cart_id, ()) if now - at < WINDOW_SECONDS)
        if len(recent) < self.connects:
            return None
        return max(1, round(recent[0] + WINDOW_SECONDS - now))

    def accepted(self, cart_id: int) -> None:
        self._accepted[cart_id] = (*self._accepted.get(cart_id, ()), self.monotonic())[-self.connects :]

    def forget_old(self) -> None:
        """Drop the carts whose last connect is past; called now and then, so that churn leaves nothing behind (F06)."""
        now = self.monotonic()
        for cart_id in [cart for cart, at in self._accepted.items() if now - at[-1] >= WINDOW_SECONDS]:
            del self._accepted[cart_id]


class Turnstile:
    """Carts that come all at once are let in a few at a time; the others wait in front of it, unread.

    Fielded carts that are refused come again without any delay: 5,000 of them were refused 75,000 times in a minute,
    and hardly one was let in. One that waits costs nothing but memory, and if its library gives up, not even a claim.
    """

    def __init__(self, places: int, inside: Callable[[], int]) -> None:
        self._places = places
        self._inside = inside  # how many handshakes are under way
        self._waiting: deque[Callable[[], None]] = deque()
        self._turn: asyncio.Handle | None = None
        self._said = False  # that it is full

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def enter(self, go_in: Callable[[], None]) -> bool:
        """Call `go_in` when there is room; False if too many wait already."""
        if len(self._waiting) + self._inside() >= self._places:
            if not self._said:
                self._said = True
                log.warning("too many carts are connecting, the rest is refused", waiting=len(self._waiting))
            return False
        self._waiting.append(go_in)
        self.go_on()
        return True

    def go_on(self) -> None:
        """Somebody came, or a handshake ended."""
        if self._turn is None and self._waiting:
            self._turn = asyncio.get_running_loop().call_soon(self._let_in)

    def _let_in(self) -> None:
        self._turn = None
        for _ in range(min(A_TURN, len(self._waiting), INSIDE - self._inside())):
            asyncio.get_running_loop().call_soon(self._waiting.popleft())
        if self._inside() < INSIDE:
            self.go_on()
        if not self._waiting:
            self._said = False
