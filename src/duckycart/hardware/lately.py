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
        self._highest: dict[tuple[int, int], tuple[int, float]] = {}  # by cart and boot generation: seq, heard when

    def received(self, message: Received) -> None:
        """That boot of the cart has everything up to this."""
        boot = message.cart_id, message.generation
        seq, _ = self._highest.get(boot, (0, 0.0))
        self._highest[boot] = max(seq, message.seq), self._monotonic()

    def tell(self, link: Link) -> None:
        """What a link of its boot need not send."""
        link.known(self._seq(link))

    def among(self, link: Link, rows: tuple[Send, ...]) -> tuple[Send, ...]:
        """Those of its cart's rows that its boot has already, whatever they say."""
        seq = self._seq(link)
        return tuple(row for row in rows if row.seq <= seq)

    def _seq(self, link: Link) -> int:
        return self._highest.get((link.cart_id, link.generation), (0, 0.0))[0]

    def forget_old(self) -> None:
        """Called now and then, so that churn leaves nothing behind (F06)."""
        old = self._monotonic() - KEPT_SECONDS
        for boot in [boot for boot, (_, at) in self._highest.items() if at < old]:
            del self._highest[boot]
