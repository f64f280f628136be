"""Two bounds decide who may try to connect now: the brake for one cart, and the turnstile (guards/turnstile.py) for
all."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from duckycart.hardware.ending import Refused

WINDOW_SECONDS: Final = 10.0
A_TURN: Final = 4  # handshakes begun in one turn of the event loop, 2 ms: a shopper's request waits for so much
INSIDE: Final = 256  # handshakes under way: two batches of claims at the store, and the two that follow


class NotAdmitted(Exception):
    """A cart is refused during its handshake, with the status of `why` instead of 101; never after the upgrade
    (F08)."""

    def __init__(self, why: Refused, sentence: str | None = None, retry_after: int | None = None) -> None:
        """Refuse for the reason `why`, with a `sentence` where it tells more than the reason's own."""
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
        """Return the seconds until this cart may connect again, None if it may now."""
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
