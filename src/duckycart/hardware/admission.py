"""Who may try to connect now: the brake for one cart, the bound for all."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

WINDOW_SECONDS: Final = 10.0


class Refusal(Exception):
    """The handshake is answered with this status instead of 101. Never after the upgrade (F08)."""

    def __init__(self, status: int, reason: str, retry_after: int | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.retry_after = retry_after  # seconds


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
