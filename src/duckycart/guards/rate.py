"""Bounds on how often one address, account or QR may ask, judged before anything is done for it."""

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from duckycart.refusals import TOO_MANY_REQUESTS


class RateLimit:
    """Each key has a bucket that refills steadily, and each call takes from it: so many calls a minute. The keys that
    called least recently are forgotten, so memory is bounded."""

    KEYS: Final = 50_000

    def __init__(self, per_minute: int, monotonic: Callable[[], float]) -> None:
        self._per_minute = per_minute
        self._monotonic = monotonic
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens left, and when that was

    def take(self, key: str) -> None:
        """Count one call. Raises TooManyRequests, with the seconds to wait, if none is left for this key."""
        now = self._monotonic()
        tokens, at = self._buckets.pop(key, (float(self._per_minute), now))
        tokens = min(float(self._per_minute), tokens + (now - at) * self._per_minute / 60)
        if tokens < 1:
            self._buckets[key] = (tokens, now)
            wait = math.ceil((1 - tokens) * 60 / self._per_minute)
            raise TOO_MANY_REQUESTS(retry_after=wait)
        self._buckets[key] = (tokens - 1, now)
        if len(self._buckets) > self.KEYS:
            self._buckets.popitem(last=False)

    def give_back(self, key: str) -> None:
        """Uncount the call that was counted last, where only those that fail count."""
        if key in self._buckets:
            tokens, at = self._buckets[key]
            self._buckets[key] = (tokens + 1, at)
