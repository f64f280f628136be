"""Where the frames of a peer end, and how many it may send. Time is handed in."""

import random

import pytest
from websockets.frames import Frame, Opcode

from duckycart.guards.frames import FLOOD_FRAMES, FLOOD_SECONDS, FrameGuard

START = 1000.0
FRAMES = [
    Frame(opcode, b"x" * size, fin).serialize(mask=mask)
    for opcode, size, fin, mask in [
        (Opcode.PONG, 0, True, True),
        (Opcode.TEXT, 0, False, True),
        (Opcode.CONT, 0, False, True),
        (Opcode.CONT, 125, True, True),
        (Opcode.BINARY, 126, True, True),
        (Opcode.TEXT, 65_536, True, True),
        (Opcode.TEXT, 3, True, False),
        (Opcode.BINARY, 300, True, False),
        (Opcode.CLOSE, 2, True, True),
    ]
]


def cut(guard: FrameGuard, pieces: list[bytes]) -> list[bytes]:
    """The frames, put together again from the pieces in which they came."""
    frames, present = [], b""
    for piece in pieces:
        at = 0
        while at < len(piece):
            end = guard.end_of_frame(piece, at, len(piece))
            assert at < end <= len(piece)
            present += piece[at:end]
            at = end
            if present in FRAMES:
                frames.append(present)
                present = b""
    assert present == b""
    return frames


@pytest.mark.parametrize("size", [1, 2, 3, 7, 13, 14, 15, 4096, 10**6])
def test_f46_bytes_are_cut_into_frames_in_whatever_pieces_they_come(size: int) -> None:
    data = b"".join(FRAMES)
    assert cut(FrameGuard(START), [data[at : at + size] for at in range(0, len(data), size)]) == FRAMES


def test_f46_pieces_of_any_size() -> None:
    chance = random.Random(46)
    for _ in range(200):
        frames = chance.choices(FRAMES, k=8)
        data, pieces = b"".join(frames), []
        while data:
            size = chance.choice([1, 2, 5, 200, 70_000])
            pieces.append(data[:size])
            data = data[size:]
        assert cut(FrameGuard(START), pieces) == frames


def test_f46_a_frame_of_any_length_is_one_frame() -> None:
    guard = FrameGuard(START)
    header = b"\x81\xff" + (2**62).to_bytes(8) + b"mask"
    assert guard.end_of_frame(header + b"x" * 1000, 0, 1000) == 1000
    assert guard.end_of_frame(b"x" * 1000, 0, 1000) == 1000


def test_a_flood_is_one_frame_too_many() -> None:
    guard = FrameGuard(START)
    assert all(guard.one_more(START) for _ in range(FLOOD_FRAMES))
    assert not guard.one_more(START)
    assert not guard.one_more(START + FLOOD_SECONDS - 1)


def test_as_many_frames_in_more_time_are_no_flood() -> None:
    guard = FrameGuard(START)
    for round_ in range(5):
        assert all(guard.one_more(START + round_ * FLOOD_SECONDS) for _ in range(FLOOD_FRAMES))
