"""One port serves TLS and, from networks where that is accepted, carts without it: the first byte tells (F70).

Fielded carts fall back from wss:// to ws:// after a few reconnects, on the same port, and stay there.
"""

import asyncio
import socket
from typing import Final, cast

from duckycart.refusals import TLS_ONLY

HANDSHAKE: Final = b"\x16"  # begins every TLS connection (RFC 8446, section 5.1), and no method of HTTP
FIRST_BYTE_SECONDS: Final = 15.0  # for it to arrive, as long as a request's head may take
REFUSAL: Final = (
    "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
    f"Content-Length: {len(TLS_ONLY.sentence)}\r\n\r\n{TLS_ONLY.sentence}"
).encode()


async def first_byte(connection: socket.socket) -> bytes:
    """Return the first byte of a connection, which stays there to be read; b"" if none came in time. Raises OSError."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(connection, readable.set)
    try:
        async with asyncio.timeout(FIRST_BYTE_SECONDS):
            await readable.wait()
        return connection.recv(1, socket.MSG_PEEK)
    except (TimeoutError, BlockingIOError):
        return b""
    finally:
        loop.remove_reader(connection)


class Refused(asyncio.Protocol):
    """A protocol that answers that this port speaks TLS, and closes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(REFUSAL)
            self._transport.close()
