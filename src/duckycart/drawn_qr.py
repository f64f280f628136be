"""A QR is drawn in a terminal, for the cart's program and for the shell."""

import io
from typing import Final

import segno

# The blocks that segno prints are the light of a QR, so they must be white on black in every colour scheme.
COLOURS: Final = "97;40"


def draw(text: str, encoding: str) -> list[str]:
    """Return the QR of a text line by line; empty where it cannot be drawn: too long, or no blocks in that encoding."""
    drawing = io.StringIO()
    try:
        # The least error correction makes the smallest picture, and a display does not get torn.
        segno.make_qr(text, error="l").terminal(drawing, compact=True)
        drawing.getvalue().encode(encoding)
    except (segno.DataOverflowError, UnicodeEncodeError):
        return []
    return drawing.getvalue().splitlines()
