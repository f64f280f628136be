"""An example as a process of its own, and the bad network between it and the real server."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from duckycart.testing.endpoint import Endpoint
from duckycart.testing.relay import Direction, Relay
from duckycart.testing.waiting import PATIENCE

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
SHOPPING = "session {}: empty the basket, start shopping"
HELD = "session {}: nothing in, nothing out"


class NotHere(Exception):
    """This machine lacks what an example runs with; the message says what to install."""


def command_of(example: str) -> list[str]:
    """What starts an example. Raises NotHere."""
    if example == "cart.py":
        return [sys.executable, str(EXAMPLES / example)]
    name = "node" if example == "cart.mjs" else "micropython"
    beside_python = str(Path(sys.executable).parent)
    program = shutil.which(name, path=os.pathsep.join([beside_python, os.environ.get("PATH", os.defpath)]))
    if program is None:
        raise NotHere(f"there is no {name} on PATH; examples/README.md says where to get it")
    flags = _websocket_flag(program) if name == "node" else []
    return [program, *flags, str(EXAMPLES / example)]


def _websocket_flag(node: str) -> list[str]:
    """Node has had WebSocket since 22, and behind a flag since 20.10."""
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    major, minor, _ = (int(part) for part in version.lstrip("v").split("-")[0].split("."))
    if (major, minor) < (20, 10):
        raise NotHere(f"node {version} is too old; 22 or newer is wanted")
    return [] if major >= 22 else ["--experimental-websocket"]


class Network(Relay):
    """The relay between an example and the server, which counts what the server sends."""

    def __init__(self, server: Endpoint) -> None:
        super().__init__(server)
        self._down = b""
        self.passed = self._count

    def _count(self, direction: Direction, data: bytes) -> None:
        if direction == Direction.DOWN:
            self._down += data

    def told(self, command: str) -> int:
        """How often the server sent this command."""
        return self._down.count(f'{{"type": "{command}"'.encode())


@asynccontextmanager
async def network(server: Endpoint) -> AsyncIterator[Network]:
    net = Network(server)
    await net.open()
    try:
        yield net
    finally:
        await net.close()


class Example:
    """A running example, and what it has printed."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def does(self, *wanted: str) -> None:
        """Until it has done exactly these things, in this order, since the last call."""
        got: list[str] = []
        while len(got) < len(wanted):
            line = await self._line()
            if not _of_connection(line):
                got.append(line)
        assert got == list(wanted)

    async def says_of_its_connection(self, wanted: str) -> None:
        """Until a line about its connection begins like this; it must not do anything meanwhile."""
        while not (line := await self._line()).startswith(wanted):
            assert _of_connection(line), line

    async def _line(self) -> str:
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            line = (await self._process.stdout.readline()).decode().rstrip()
        assert line, "the example ended"
        return line

    def scans(self, barcode: str) -> None:
        """What a barcode reader types into it."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{barcode}\n".encode())

    async def end(self) -> list[str]:
        """Kill it; the lines that nobody has asked for."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # what is on PATH may be a wrapper that starts another
        rest, _ = await self._process.communicate()
        return [line for line in rest.decode().splitlines() if not _of_connection(line)]


def _of_connection(line: str) -> bool:
    return line.startswith(("connected", "not connected"))


@asynccontextmanager
async def running(
    command: list[str],
    port: int,
    key: str,
    *,
    cart_id: int = 1,
    scheme: str = "ws",
    environment: dict[str, str] | None = None,
) -> AsyncIterator[Example]:
    """An example as it is started by hand; killed at the end, when it must have done nothing that was not asked for."""
    process = await asyncio.create_subprocess_exec(
        *command,
        str(cart_id),
        f"{scheme}://127.0.0.1:{port}",
        env={"PATH": os.environ.get("PATH", os.defpath), "DUCKYCART_KEY": key, **(environment or {})},
        stdin=PIPE,
        stdout=PIPE,
        stderr=STDOUT,
        start_new_session=True,
    )
    example = Example(process)
    try:
        yield example
    except BaseException:
        await example.end()
        raise
    assert await example.end() == []
