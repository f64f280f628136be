"""A driver is hardware behind the program: what it is told to do, and what it hears.

Drivers of others are found by the entry points of the group `duckycart.drivers`, or as `module:Class`.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from duckycart.cart.heard import Heard
from duckycart.cart.setup import Setup

Tell = Callable[[Heard], None]


@dataclass(frozen=True, slots=True)
class Item:
    """A line of the basket."""

    barcode: int
    description: str
    quantity: int
    grams: int  # of all its units


@dataclass(frozen=True, slots=True)
class Basket:
    """What the server says is in the basket, and how many changes of it wait for the network."""

    items: tuple[Item, ...]
    total: str  # for people: "25.00 EGP"
    waiting: int = 0


class Driver:
    """Hardware of one kind; a subclass overrides what that hardware can do.

    All methods but `run` are called from the event loop, in the order of the server's commands, and must return at
    once: slow hardware works in a thread of its own. An exception ends the program. That is wanted: whoever restarts it
    finds it where it stood.
    """

    def __init__(self, setup: Setup) -> None:
        """Make the driver by its settings. Raises WrongSetting, and opens no hardware: that is for `run`."""

    async def run(self, tell: Tell) -> None:
        """Hear the hardware until cancelled, and tell the program; return at once if there is nothing to hear.

        Hardware that is pulled out and put in again is this method's to wait for.
        """

    async def check(self) -> str:
        """Try the hardware once, for `duckycart cart check`. Returns what was found, as a sentence; raises OSError, or
        Broken with a sentence that says what to do."""
        return "nothing to try"

    def alive(self) -> bool:
        """Return whether the driver does its work; asked when a watchdog wants to know (sd_notify(3)). Where one says
        no for long enough, the program is restarted."""
        return True

    def show_idle(self) -> None:
        """Show that nobody shops, and that there is no QR to scan (yet, or any more)."""

    def show_qr(self, url: str | None) -> None:
        """Offer the cart: draw `url` as a QR, or, if it is None, say that the QR is on the cart's screen.

        May be called again while a QR is up, with the same or a new URL.
        """

    def start_shopping(self, session_id: int) -> None:
        """Begin with a shopper who has the cart: scanner ready. Called once for each session, and once more for a
        session that goes on after the program was started anew.

        So the basket may not be empty: `basket` says what is in it before anything is counted.
        """

    def hold_for_payment(self, session_id: int) -> None:
        """Hold everything for the payment: nothing may be added or taken. Called as `start_shopping` is, after it."""

    def return_to_idle(self) -> None:
        """Clean up after a session that is over, and be as after `show_idle`."""

    def basket(self, basket: Basket) -> None:
        """Show the basket, which was read or changed."""

    def connection(self, connected: bool, sentence: str) -> None:
        """Show whether the link to the server is there; `sentence` says to people why and what to do about it."""

    def notice(self, sentence: str) -> None:
        """Show something else that people should know, such as why there is no QR."""


class Broken(Exception):
    """Hardware cannot be used; the sentence says what to do."""


async def for_ever() -> None:
    """Wait until cancelled."""
    await asyncio.get_running_loop().create_future()
