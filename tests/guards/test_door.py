"""Where connections come in (F47)."""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from duckycart.guards import door
from duckycart.guards.door import A_TURN, Door
from duckycart.guards.places import Places
from duckycart.testing.waiting import PATIENCE, until


class Listening(socket.socket):
    """Has no descriptor for so many who come."""

    starving = 0
    taken = 0

    def accept(self) -> tuple[socket.socket, tuple[str, int]]:
        if self.starving:
            self.starving -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        accepted = super().accept()
        self.taken += 1
        return accepted


class Hello(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"hello")
        transport.close()


@asynccontextmanager
async def opened() -> AsyncIterator[tuple[Listening, Places, int]]:
    bound = socket.create_server(("127.0.0.1", 0), backlog=1000)
    port = int(bound.getsockname()[1])
    listening = Listening(fileno=bound.detach())
    places = Places(100, 100, asyncio.get_running_loop().time)
    it = Door(listening, Hello, places, None)
    try:
        yield listening, places, port
    finally:
        it.close()
        await it.wait_closed()


async def hears(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(PATIENCE):
        said = await reader.read()
    writer.close()
    return said


async def test_f47_whoever_comes_is_let_in() -> None:
    async with opened() as (_, _, port):
        assert await asyncio.gather(*(hears(port) for _ in range(50))) == [b"hello"] * 50


async def test_f47_without_a_descriptor_left_nobody_is_turned_away_and_it_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(door, "NO_DESCRIPTOR_SECONDS", 0.01)
    async with opened() as (listening, places, port):
        listening.starving = 3
        with capture_logs() as said:
            assert await hears(port) == b"hello"
        assert places.short
        assert [line["log_level"] for line in said] == ["warning"]
        assert "descriptor" in said[0]["of"]


async def test_f47_so_many_are_let_in_in_a_turn_and_no_more() -> None:
    async with opened() as (listening, _, port):
        peers = [socket.create_connection(("127.0.0.1", port)) for _ in range(A_TURN * 3)]
        for turns in (1, 2, 3):
            await until(lambda turns=turns: listening.taken >= A_TURN * turns)  # type: ignore[misc]
        assert listening.taken == A_TURN * 3
        for peer in peers:
            peer.close()


async def test_f47_a_closed_door_lets_nobody_in() -> None:
    async with opened() as (_, _, port):
        pass
    with pytest.raises(ConnectionRefusedError):
        await hears(port)
