"""Nobody reads what a program prints: a pipe that is full, a terminal stopped with Ctrl-S. Nothing stands still."""

import asyncio
import fcntl
import json
import os
import pty
import signal
import subprocess
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO, cast

import pytest

from duckycart import outlet
from duckycart.outlet import Outlet
from duckycart.testing.cart import CartConnection
from duckycart.testing.waiting import PATIENCE, until
from tests.cart.world import server
from tests.process.world import KEY, Served

CALLS = 120
COMMAND = str(Path(sys.executable).with_name("duckycart"))
CART = {"X-API-Key": KEY}


class Unread:
    """What a program writes to `theirs`, which is at `path`, fills it up; nobody reads `ours` until the test does."""

    def __init__(self, kind: str, folder: Path) -> None:
        if kind == "pipe":
            self.path = folder / "pipe"
            os.mkfifo(self.path)
            self.ours = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)  # or it waits for somebody who writes
            self.theirs = os.open(self.path, os.O_WRONLY)
            os.set_blocking(self.ours, True)
            fcntl.fcntl(self.ours, fcntl.F_SETPIPE_SZ, 4096)
        else:
            self.ours, self.theirs = pty.openpty()
            self.path = Path(os.ttyname(self.theirs))
            tty.setraw(self.theirs)
            termios.tcflow(self.theirs, termios.TCOOFF)  # Ctrl-S
        self._kind = kind

    def flow(self) -> None:
        """Ctrl-Q; and somebody reads."""
        if self._kind == "terminal":
            termios.tcflow(self.theirs, termios.TCOON)
        os.close(self.theirs)
        self.theirs = -1

    def read(self) -> str:
        """All that comes until nobody can write any more."""
        data = b""
        with suppress(OSError):  # a terminal's way of saying that this is the end
            while more := os.read(self.ours, 65536):
                data += more
        return data.decode()

    def close(self) -> None:
        for number in (self.ours, self.theirs):
            if number >= 0:
                os.close(number)


@pytest.fixture(params=["pipe", "terminal"])
def unread(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Unread]:
    unread = Unread(request.param, tmp_path)
    yield unread
    unread.close()


@pytest.fixture
async def running(served: Served, unread: Unread) -> Served:
    """A server with cart 1, whose log goes there."""
    served.furnish()
    served.log = unread.path
    await served.start(DUCKYCART_LOG_FORMAT="json")
    return served


async def test_f49_a_log_that_nobody_reads_stops_neither_calls_nor_carts_nor_the_end(
    running: Served,
) -> None:
    cart = await CartConnection.open(running.endpoint, "/ws/hardware/1", CART)
    for number in range(CALLS):
        answer = await running.ask("GET", "/customer-session/qr/1", headers=CART)
        assert answer is not None
        assert answer.status_code == 200
        if number == 0:
            await until(lambda: cart.texts)  # of those before a link's first frame only the newest is sent
    await until(lambda: len(cart.texts) == CALLS)
    assert await running.stop() == 0
    await cart.gone()
    assert cart.closed == (1012, "the server restarts")


async def test_f49_when_somebody_reads_again_no_line_that_waited_is_missing(running: Served, unread: Unread) -> None:
    cart = await CartConnection.open(running.endpoint, "/ws/hardware/1", CART)
    for number in range(CALLS):
        await running.ask("GET", "/customer-session/qr/1", headers=CART)
        if number == 0:
            await until(lambda: cart.texts)
    await until(lambda: len(cart.texts) == CALLS)
    unread.flow()
    reading = asyncio.ensure_future(asyncio.to_thread(unread.read))
    assert await running.stop() == 0
    lines = [json.loads(line) for line in (await reading).splitlines()]
    assert [line["seq"] for line in lines if line["event"] == "command queued"] == list(range(1, CALLS + 1))
    assert lines[-1]["event"] == "stopped"


async def test_f49_a_cart_whose_terminal_stands_still_goes_on_shopping(unread: Unread) -> None:
    async with server() as shop:
        program = subprocess.Popen(  # noqa: ASYNC220
            [COMMAND, "cart", "7", "--url", shop.url, "--driver", "lines", "--no-qr"],
            env={**os.environ, "DUCKYCART_KEY": KEY},
            stdout=unread.theirs,
            stderr=unread.theirs,
        )
        try:
            link = await shop.cart()
            for number in range(1, CALLS):
                await link.send(json.dumps({"type": "session_started", "data": number}))
                await link.send(json.dumps({"type": "end_session", "data": number}))
            async with asyncio.timeout(PATIENCE):
                await (await link.ping())
            program.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(program.wait, PATIENCE) == 0
        finally:
            program.kill()
            program.wait()


# The outlet by itself


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Unread]:
    monkeypatch.setattr(outlet, "MAX_WAITING", 1000)
    pipe = Unread("pipe", tmp_path)
    yield pipe
    pipe.close()


def outlet_to(pipe: Unread, **options: Any) -> TextIO:
    file = open(pipe.theirs, "w", closefd=False)  # noqa: SIM115 - its descriptor is the pipe's
    return cast(TextIO, Outlet(file, lambda count: f"lost {count}\n", **options))


def test_f49_lines_that_find_no_room_are_counted_where_they_would_have_stood(pipe: Unread) -> None:
    out = outlet_to(pipe)
    number = 0
    while cast(Outlet, out)._dropped < 10:
        print(number, file=out)
        number += 1
    text = b""
    while b"lost" not in text:
        text += os.read(pipe.ours, 65536)
    print("afterwards", file=out)
    while not text.endswith(b"afterwards\n"):
        text += os.read(pipe.ours, 65536)
    *lines, lost, last = text.decode().splitlines()
    assert [int(line) for line in lines] == list(range(number - 10))
    assert (lost, last) == ("lost 10", "afterwards")


def test_f33_lines_that_cannot_be_written_are_counted_before_the_next_that_can(tmp_path: Path) -> None:
    target = os.open("/dev/full", os.O_WRONLY)
    out = Outlet(open(target, "w", closefd=False), lambda count: f"lost {count}\n")  # noqa: SIM115
    for _ in range(3):
        out.write("on a full disk\n")
    out.settle()
    roomy = os.open(tmp_path / "log", os.O_CREAT | os.O_WRONLY)
    os.dup2(roomy, target)
    out.write("there is room again\n")
    out.settle()
    assert (tmp_path / "log").read_text() == "lost 3\nthere is room again\n"
    os.close(roomy)
    os.close(target)
