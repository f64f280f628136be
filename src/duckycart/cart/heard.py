"""What a cart's hardware hears, as a driver tells it to the program."""

from dataclasses import dataclass
from typing import Final

MAX_DIGITS: Final = 40  # of a barcode, as the server takes it


@dataclass(frozen=True, slots=True)
class Scanned:
    """A barcode was read."""

    barcode: int  # as a number: leading zeros do not count


@dataclass(frozen=True, slots=True)
class Weighed:
    """The scale has come to rest, or never moves, at so many grams; said once for each rest."""

    grams: int


@dataclass(frozen=True, slots=True)
class Pressed:
    """A button was pressed: `take_back` for the item that was put in last; others are for drivers among themselves."""

    button: str


@dataclass(frozen=True, slots=True)
class Noticed:
    """The hardware has something that people should know: it was pulled out, it reads what is no barcode."""

    sentence: str


Heard = Scanned | Weighed | Pressed | Noticed

TAKE_BACK: Final = Pressed("take_back")


def barcode_of(text: str) -> int | None:
    """Return the barcode that these letters are; None if they are none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS else None
