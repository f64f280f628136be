"""This module counts the frames of a WebSocket's peer, and finds where each of them ends: free of I/O.

One read may hold 40,000 empty frames. So bytes are cut into frames before anybody parses them, and what is behind the
frame that was one too many is never parsed.
"""

from typing import Final

FLOOD_FRAMES: Final = 100  # inbound frames in FLOOD_SECONDS; carts and screens owe nothing but pongs
FLOOD_SECONDS: Final = 10.0
FLOOD: Final = "too many frames"  # the reason beside the close code 1008

_MASK: Final = 4  # bytes of a masking key (RFC 6455, 5.2)
_EXTENDED: Final = {126: 2, 127: 8}  # bytes of a length that does not fit into seven bits


class FrameGuard:
    """Counts and cuts the frames of one peer, cart or screen. Times are seconds of a clock that only grows."""

    __slots__ = ("_count", "_header", "_left", "_since")

    def __init__(self, now: float) -> None:
        self._header = b""  # of a frame whose length is not known yet
        self._left = 0  # bytes of the present frame that have not come
        self._count = 0  # frames since `_since` that answered nothing of ours
        self._since = now

    def end_of_frame(self, data: bytes, begin: int, end: int) -> int:
        """Return up to where `data[begin:end]` belongs to the present frame, or to the one that begins there.

        Every byte is shown once, in order. At least one is always taken. A frame that the protocol forbids is cut by
        what it says of itself: whoever parses it refuses it.
        """
        at = begin
        if not self._left:
            header = self._header + data[at : min(end, at + 14 - len(self._header))]
            size = _header_size(header)
            if len(header) < size:
                self._header = header
                return end
            at += size - len(self._header)
            self._header = b""
            self._left = _payload_size(header)
        step = min(self._left, end - at)
        self._left -= step
        return at + step

    def one_more(self, now: float) -> bool:
        """Count a frame that answers nothing of ours. Returns False if it is one too many: the connection is to be
        closed."""
        if now - self._since >= FLOOD_SECONDS:
            self._since = now
            self._count = 0
        self._count += 1
        return self._count <= FLOOD_FRAMES


def _header_size(header: bytes) -> int:
    """Return the bytes of the whole header, 2 while that is not known."""
    if len(header) < 2:
        return 2
    return 2 + _EXTENDED.get(header[1] & 0x7F, 0) + (_MASK if header[1] & 0x80 else 0)


def _payload_size(header: bytes) -> int:
    size = header[1] & 0x7F
    return int.from_bytes(header[2 : 2 + _EXTENDED[size]]) if size in _EXTENDED else size
