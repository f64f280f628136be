"""The shipped haproxy.cfg in a real haproxy, and nodes behind it whose every answer the test decides."""

import asyncio
import json
import os
import signal
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import Any

import httpx2
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from duckycart.testing.waiting import PATIENCE, until
from tests.ports import free_port

DEPLOY = Path(__file__).parent.parent.parent / "deploy"


class Balancer:
    """haproxy in front of these ports of the loopback, as it is shipped. Its log goes to a file."""

    def __init__(self, haproxy: str, folder: Path, trusting: ssl.SSLContext, nodes: list[int]) -> None:
        """The certificate that `trusting` believes is `folder`/haproxy.pem."""
        self.haproxy = haproxy
        self.log = folder / "haproxy.log"
        self.port = free_port()
        self.master = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.trusting = trusting
        self.http = self._client("http")
        self.https = self._client("https")
        self.environment = {
            "CERTIFICATE": str(folder / "haproxy.pem"),
            "LISTEN": self.address,
            "MAXCONN": "1000",
            "SOCKETS": f"duckycart-test-{token_hex(6)}",  # the abstract namespace is one for the whole machine
            **{f"SERVER_{number}": f"127.0.0.1:{port}" for number, port in enumerate(nodes, 1)},
        }
        if os.geteuid() != 0:
            self.environment["UNPRIVILEGED"] = "1"
        self.process: subprocess.Popen[bytes] | None = None

    def _client(self, scheme: str) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            base_url=f"{scheme}://{self.address}", verify=self.trusting, timeout=PATIENCE, trust_env=False
        )

    def checked(self) -> subprocess.CompletedProcess[str]:
        """What haproxy says of the file; a warning is a failure."""
        command = [self.haproxy, "-c", "-dW", "-f", str(DEPLOY / "haproxy.cfg")]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True)

    async def start(self) -> None:
        """As Debian's unit does it: a master, which reloads, and a worker. Returns when it listens."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: ASYNC220 - it takes no time, and `stop` is not asynchronous
                [self.haproxy, "-W", "-S", f"127.0.0.1:{self.master}", "-f", DEPLOY / "haproxy.cfg"],
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        await until(self.listening)

    def listening(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        return _listens(self.port)

    async def reload(self) -> None:
        """By the master's own port: a signal in its first moments would be lost. Returns when the new worker is up."""
        await until(lambda: _listens(self.master))
        reader, writer = await asyncio.open_connection("127.0.0.1", self.master)
        writer.write(b"reload\n")
        await reader.read()
        writer.close()
        await until(lambda: self.log.read_text().count("Loading success") == 2)

    def stop(self) -> None:
        """The master ends its workers, whatever they have open."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(PATIENCE)
            self.process = None

    async def says(self, words: str) -> None:
        """Until it is in the log."""
        await until(lambda: words in self.log.read_text())

    @asynccontextmanager
    async def socket(self, path: str, *, tls: bool = False, **options: Any) -> AsyncIterator[ClientConnection]:
        """A WebSocket through it, with the library that fielded carts use."""
        async with connect(
            f"{'wss' if tls else 'ws'}://{self.address}{path}",
            ssl=self.trusting if tls else None,
            proxy=None,
            compression=None,
            close_timeout=1,
            **options,
        ) as connection:
            yield connection


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Screen:
    """A screen as it is in the field: whatever ends its connection, it is back at once; refused once, it gives up."""

    def __init__(self, balancer: Balancer, path: str) -> None:
        self.told: list[str] = []
        self._running = asyncio.create_task(self._run(balancer, path))

    async def _run(self, balancer: Balancer, path: str) -> None:
        while True:
            with suppress(ConnectionClosed):
                async with balancer.socket(path, tls=True) as connection:
                    async for message in connection:
                        self.told.append(json.loads(message)["type"])

    async def hears_at_last(self, word: str) -> None:
        await until(lambda: self._running.done() or word in self.told)
        assert not self._running.done(), self._running.exception()

    async def stop(self) -> None:
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)


@contextmanager
def balancing(balancer: Balancer) -> Iterator[Balancer]:
    """No haproxy outlives its test."""
    try:
        yield balancer
    finally:
        balancer.stop()


class ScriptedNode:
    """As much of a node as haproxy sees: /readyz, sockets that echo, and misbehaviour to order."""

    def __init__(self) -> None:
        self.port = 0
        self.ready = True
        self.answer: bytes | None = None  # to whatever but /readyz, instead of what one would expect
        self.hangs_up = False  # reads a request and closes the connection
        self.checks = 0  # that it was ready
        self.asked: list[str] = []  # methods and paths, in order, /readyz left out
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Gone, with all that was open."""
        assert self._server is not None
        self._server.close()
        for writer in tuple(self._open):
            writer.transport.abort()
        await self._server.wait_closed()

    @property
    def sockets(self) -> int:
        return len(self._open)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            method, path, _ = head.decode().split(" ", 2)
            if path == "/readyz":
                self.checks += self.ready
                writer.write(b"HTTP/1.0 200 OK\r\n\r\n" if self.ready else b"HTTP/1.0 503 No\r\n\r\n")
                return
            self.asked.append(f"{method} {path}")
            if self.hangs_up:
                return
            if self.answer is not None:
                writer.write(self.answer)
            elif b"upgrade: websocket" in head.lower():
                self._open.add(writer)
                await self._echo(head, reader, writer)
            else:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()

    async def _echo(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        protocol = ServerProtocol(max_size=None)
        data = head
        while data:
            protocol.receive_data(data)
            for event in protocol.events_received():
                if isinstance(event, Request):
                    protocol.send_response(protocol.accept(event))
                elif isinstance(event, Frame) and event.opcode is Opcode.BINARY:
                    protocol.send_binary(bytes(event.data))
            writer.write(b"".join(protocol.data_to_send()))
            await writer.drain()
            data = b"" if protocol.close_expected() else await reader.read(65536)


@asynccontextmanager
async def scripted() -> AsyncIterator[ScriptedNode]:
    node = ScriptedNode()
    await node.start()
    try:
        yield node
    finally:
        await node.stop()
