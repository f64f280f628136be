"""A driver is the hardware behind the program."""

from typing import Protocol


class Driver(Protocol):
    """What a cart's display, scanner and lock must be able to do; one implementation per kind of hardware.

    Called from the event loop, in the order of the server's commands, and must return at once: slow hardware
    works in a thread of its own. An exception ends the program. That is wanted: whoever restarts it gets a
    new boot id, for which the server tells the cart again where it stands.
    """

    def show_idle(self) -> None:
        """Show that nobody shops, and that there is no QR to scan (yet, or any more)."""

    def show_qr(self, url: str | None) -> None:
        """Offer the cart: draw `url` as a QR, or, if it is None, say that the QR is on the cart's screen.

        May be called again while a QR is up, with the same or a new URL.
        """

    def start_shopping(self, session_id: int) -> None:
        """Begin with a shopper who has the cart: scanner ready, basket empty. Called once for each session."""

    def hold_for_payment(self, session_id: int) -> None:
        """Hold everything for the payment: nothing may be added or taken. Called once for each session."""

    def return_to_idle(self) -> None:
        """Clean up after a session that is over, and be as after `show_idle`."""

    def connection(self, connected: bool, sentence: str) -> None:
        """Show whether the link to the server is there; `sentence` says to people why and what to do about it."""

    def notice(self, sentence: str) -> None:
        """Show something else that people should know, such as why there is no QR."""
