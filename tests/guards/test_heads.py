"""Where a request's head ends."""

import pytest

from duckycart.guards.heads import EmptyLines

HEADS = [b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /b HTTP/1.1\nHost: y\n\n", b"3\r\nabc\r\n0\r\n\r\n", b"G\n\r\n"]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 16, 17, 4096])
def test_f45_heads_are_found_in_whatever_pieces_they_come(size: int) -> None:
    data = b"".join(HEADS)
    lines, heads, present = EmptyLines(), [], b""
    for piece in (data[at : at + size] for at in range(0, len(data), size)):
        at = 0
        while at < len(piece):
            end = lines.end_of_part(piece, at, len(piece))
            assert at < end <= len(piece)
            present += piece[at:end]
            at = end
            if present in HEADS:
                heads.append(present)
                present = b""
    assert heads == HEADS
    assert present == b""


def test_f45_what_was_before_is_forgotten() -> None:
    lines = EmptyLines()
    assert lines.end_of_part(b"body\n", 0, 5) == 5
    lines.forget()
    assert lines.end_of_part(b"\nGET / HTTP/1.1\r\n\r\nGET", 0, 22) == 19
