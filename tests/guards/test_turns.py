"""A connection's turns of the event loop: a little in each, and in between the others have theirs."""

import asyncio
from typing import Any, cast

from duckycart.guards.turns import TURN_BYTES, TURN_PARTS, InTurns


class Pipe:
    """The transport as a connection sees it."""

    def __init__(self) -> None:
        self.reading = True
        self.closing = False

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def abort(self) -> None:
        self.closing = True


class Connection(InTurns):
    """Parses pieces of so many bytes."""

    def __init__(self, piece: int) -> None:
        super().__init__()
        self.pipe = Pipe()
        self.piece = piece
        self.parsed = b""
        self.hold = False

    def _open_transport(self) -> asyncio.Transport | None:
        return None if self.pipe.closing else cast(asyncio.Transport, self.pipe)

    def _holding(self) -> bool:
        return self.hold

    def _parse(self, data: bytes, begin: int, end: int) -> int:
        end = min(end, begin + self.piece)
        self.parsed += data[begin:end]
        return end


async def turn() -> None:
    await asyncio.sleep(0)


def numbered(size: int) -> bytes:
    return b"".join(b"%08d" % number for number in range(size // 8))


async def test_f46_what_fits_into_a_turn_is_parsed_at_once() -> None:
    connection = Connection(100)
    connection._came(b"x" * 150)
    assert len(connection.parsed) == 150
    assert connection.pipe.reading


async def test_f46_a_turn_is_bounded_in_bytes_and_reading_waits_meanwhile() -> None:
    data = numbered(TURN_BYTES * 3)
    connection = Connection(10**6)
    connection._came(data)
    for turns in (1, 2):
        assert len(connection.parsed) == TURN_BYTES * turns
        assert not connection.pipe.reading
        await turn()
    assert connection.parsed == data
    assert connection.pipe.reading


async def test_f46_a_turn_is_bounded_in_pieces() -> None:
    data = numbered(TURN_PARTS * 16 * 3)
    connection = Connection(16)
    connection._came(data)
    assert connection.parsed == data[: TURN_PARTS * 16]
    connection._came(b"more, read before the pause took effect")
    assert connection.parsed == data[: TURN_PARTS * 16]
    for _ in range(6):
        await turn()
    assert connection.parsed == data + b"more, read before the pause took effect"
    assert connection.pipe.reading


async def test_f46_two_connections_take_turns() -> None:
    flood, other = Connection(10**6), Connection(10**6)
    flood._came(b"x" * TURN_BYTES * 64)
    await turn()
    other._came(b"hello")
    assert other.parsed == b"hello"
    assert len(flood.parsed) < TURN_BYTES * 64


async def test_f45_what_is_held_back_is_parsed_when_it_may() -> None:
    connection = Connection(10)
    connection.hold = True
    connection._came(b"GET / HTTP")
    for _ in range(5):
        await turn()
    assert connection.parsed == b""
    assert not connection.pipe.reading
    connection.hold = False
    connection._go_on()
    assert connection.parsed == b"", "not within the turn of whoever lets it go on"
    await turn()
    assert connection.parsed == b"GET / HTTP"
    assert connection.pipe.reading


async def test_f46_nothing_is_parsed_after_the_end() -> None:
    connection = Connection(10**6)
    connection._came(b"x" * TURN_BYTES * 3)
    assert len(connection._stop()) == TURN_BYTES * 2
    connection._came(b"y")
    connection._go_on()
    await turn()
    assert len(connection.parsed) == TURN_BYTES


async def test_f46_nothing_is_parsed_once_the_connection_closes() -> None:
    connection = Connection(10**6)
    connection._came(b"x" * TURN_BYTES * 3)
    connection.pipe.closing = True
    await turn()
    assert len(connection.parsed) == TURN_BYTES


async def test_an_error_ends_that_connection_alone() -> None:
    class Broken(Connection):
        def _parse(self, data: bytes, begin: int, end: int) -> int:
            raise ValueError("whatever")

    connection: Any = Broken(1)
    connection._came(b"x")
    assert connection.pipe.closing
