"""One port for TLS and, from networks where that is accepted, for carts without it: the first byte tells (F70).

Fielded carts fall back from wss:// to ws:// after a few reconnects, on the same port, and stay there.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final, cast

import structlog

from duckycart.addresses import parse, within
from duckycart.settings import Network

log = structlog.get_logger()

HANDSHAKE: Final = b"\x16"  # begins every TLS connection (RFC 8446, section 5.1), and no method of HTTP
FIRST_BYTE_SECONDS: Final = 15.0  # for it to arrive, as long as a request's head may take
A_TURN: Final = 64  # connections taken in one turn of the event loop
RETRY_SECONDS: Final = 1.0  # when there are no descriptors left, as asyncio does it
REFUSAL: Final = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
    b"Content-Length: 46\r\n\r\nThis port speaks TLS: please use https or wss."
)
_NO_MORE: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class TlsOrPlain:
    """Accepts the connections of one listening socket, in the place of asyncio's own server.

    Whoever begins with anything but a TLS handshake is served plainly if he comes from one of the `plain` networks, and
    else told that this port speaks TLS.
    """

    def __init__(
        self,
        listening: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        context: ssl.SSLContext,
        plain: Iterable[Network],
    ) -> None:
        self._listening = listening
        self._protocol = protocol
        self._context = context
        self._plain = tuple(plain)
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[socket.socket, asyncio.TimerHandle] = {}  # for their first byte
        self._opening: set[asyncio.Task[None]] = set()
        listening.setblocking(False)
        self._listen()

    def close(self) -> None:
        """Accept no more. Those that were accepted go on. May be said twice."""
        if self._listening.fileno() >= 0:
            self._loop.remove_reader(self._listening)
            self._listening.close()

    async def wait_closed(self) -> None:
        """Wait for nobody: who has not said a byte by now is closed."""
        for connection in tuple(self._waiting):
            self._stop_waiting(connection)
            connection.close()
        for task in tuple(self._opening):
            task.cancel()

    def _listen(self) -> None:
        if self._listening.fileno() >= 0:
            self._loop.add_reader(self._listening, self._accept)

    def _accept(self) -> None:
        for _ in range(A_TURN):
            try:
                connection, _ = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _NO_MORE:
                    raise
                log.warning("no connection can be accepted", reason=error.strerror)
                self._loop.remove_reader(self._listening)
                self._loop.call_later(RETRY_SECONDS, self._listen)
                return
            connection.setblocking(False)
            with suppress(OSError):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._waiting[connection] = self._loop.call_later(FIRST_BYTE_SECONDS, self._give_up, connection)
            self._loop.add_reader(connection, self._look, connection)

    def _stop_waiting(self, connection: socket.socket) -> None:
        self._loop.remove_reader(connection)
        self._waiting.pop(connection).cancel()

    def _give_up(self, connection: socket.socket) -> None:
        self._stop_waiting(connection)
        connection.close()

    def _look(self, connection: socket.socket) -> None:
        try:
            first = connection.recv(1, socket.MSG_PEEK)
            peer = connection.getpeername()[0]
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            first = b""
        self._stop_waiting(connection)
        if not first:
            connection.close()
            return
        encrypted = first == HANDSHAKE
        admitted = encrypted or within(parse(peer), self._plain)
        opening = self._open(connection, self._protocol if admitted else Refused, self._context if encrypted else None)
        task = self._loop.create_task(opening)
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _open(
        self, connection: socket.socket, protocol: Callable[[], Any], context: ssl.SSLContext | None
    ) -> None:
        with suppress(OSError):  # ssl.SSLError and TimeoutError are; whoever it was, he is gone
            await self._loop.connect_accepted_socket(protocol, connection, ssl=context)


class Refused(asyncio.Protocol):
    """Says that this port speaks TLS, and closes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(REFUSAL)
            self._transport.close()
