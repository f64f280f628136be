"""Which receipts were heard of lately, here or on other nodes: a row may say so only later."""

from collections.abc import Callable
from typing import Final

from duckycart.hardware.link import Link, Send
from duckycart.lifecycle.effects import Received

KEPT_SECONDS: Final = 60.0  # far longer than a receipt takes into its row, or never gets there


class Lately:
    """A receipt is a fact before it is written, also while the database refuses it: a claim that reads the row
    meanwhile must not have its command sent again (F30)."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._highest: dict[int, tuple[int, int, float]] = {}  # by cart: boot generation, seq, heard when

    def received(self, message: Received) -> None:
        """The cart has everything up to this."""
        generation, seq, _ = self._highest.get(message.cart_id, (0, 0, 0.0))
        newest = max((generation, seq), (message.generation, message.seq))
        self._highest[message.cart_id] = (*newest, self._monotonic())

    def tell(self, link: Link) -> None:
        """What a link of its cart need not send."""
        if (highest := self._highest.get(link.cart_id)) is not None:
            generation, seq, _ = highest
            link.known(seq, generation)

    def among(self, link: Link, rows: tuple[Send, ...]) -> tuple[Send, ...]:
        """Those of its cart's rows that it has already, whatever they say."""
        generation, seq, _ = self._highest.get(link.cart_id, (-1, 0, 0.0))
        return tuple(row for row in rows if row.seq <= seq) if generation == link.generation else ()

    def forget_old(self) -> None:
        """Called now and then, so that churn leaves nothing behind (F06)."""
        old = self._monotonic() - KEPT_SECONDS
        for cart_id in [cart for cart, (_, _, at) in self._highest.items() if at < old]:
            del self._highest[cart_id]
