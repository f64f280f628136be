"""A QR is drawn, in a terminal or as a picture, for the server, the shell and the cart's program."""

import io
from typing import Final

import segno

# The blocks that segno prints are the light of a QR, so they must be white on black in every colour scheme.
COLOURS: Final = "97;40"


def picture(text: str, kind: str) -> bytes:
    """Return the QR of a text as a picture; `kind` is svg or png."""
    out = io.BytesIO()
    segno.make(text, error="m").save(out, kind=kind, scale=8, border=4)
    return out.getvalue()


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
