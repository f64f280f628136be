"""This module finds where a part of an HTTP request ends: free of I/O.

A parser that is fed with bytes parses all of them, and a read may hold 10,000 requests. So it is fed with one request
at a time (RFC 9112, 2.1 and 7.1: a head and a chunked body end with an empty line).
"""

import re
from typing import Final

_EMPTY_LINE: Final = re.compile(rb"\n\r?\n")  # parsers take a bare LF too


class EmptyLines:
    """Finds the empty lines of what one peer sends, also those that come in pieces."""

    __slots__ = ("_tail",)

    def __init__(self) -> None:
        self._tail = b""  # what an empty line may have begun with

    def end_of_part(self, data: bytes, begin: int, end: int) -> int:
        """Return the end of the first empty line in `data[begin:end]`, or `end`. Every byte is shown once, in order."""
        piece = self._tail + data[begin:end]
        if (found := _EMPTY_LINE.search(piece)) is not None:
            end = begin + found.end() - len(self._tail)
            self._tail = b""
        else:
            self._tail = b"\n\r" if piece.endswith(b"\n\r") else piece[-1:] if piece.endswith(b"\n") else b""
        return end

    def forget(self) -> None:
        """Forget what came: what comes next is no continuation of it."""
        self._tail = b""
