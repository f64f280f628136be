"""Thousands of carts run in one process: each has just enough WebSocket to connect, read commands and answer pings.

For measuring: a cart of a crowd costs its machine less than the server that is measured spends on it.
"""

import asyncio
import base64
import os
from collections.abc import Callable

from duckycart.testing.endpoint import Endpoint

Heard = Callable[[int, bytes], None]  # called with a cart's id and the command as it was written


class CrowdCart(asyncio.Protocol):
    """One of many polite carts. It looks at no frame but text and pings, and does not come back."""

    def __init__(self, cart_id: int, key: str, opened: "asyncio.Future[None]", heard: Heard | None) -> None:
        self._cart_id = cart_id
        self._key = key
        self._opened = opened
        self._heard = heard
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def connect(cls, endpoint: Endpoint, cart_id: int, key: str, heard: Heard | None = None) -> "CrowdCart":
        """Connect and be let in. Raises OSError: ConnectionRefusedError when the server says no."""
        loop = asyncio.get_running_loop()
        opened: asyncio.Future[None] = loop.create_future()
        _, cart = await loop.create_connection(
            lambda: cls(cart_id, key, opened, heard),
            endpoint.host,
            endpoint.port,
            ssl=endpoint.tls,
            local_addr=endpoint.local_address,
        )
        await opened
        return cart

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        nonce = base64.b64encode(os.urandom(16)).decode()
        transport.write(
            f"GET /ws/hardware/{self._cart_id} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {nonce}\r\n"
            f"X-API-Key: {self._key}\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._opened.done():
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            if not found:
                return
            self._buffer = rest
            if head.startswith(b"HTTP/1.1 101"):
                self._opened.set_result(None)
            else:
                self._opened.set_exception(ConnectionRefusedError(head.split(b"\r\n")[0].decode()))
        while len(self._buffer) >= 2 and len(self._buffer) >= 2 + (self._buffer[1] & 0x7F):
            opcode, length = self._buffer[0] & 0x0F, self._buffer[1] & 0x7F
            payload, self._buffer = self._buffer[2 : 2 + length], self._buffer[2 + length :]
            if opcode == 9:
                assert self._transport is not None
                self._transport.write(b"\x8a" + bytes([0x80 | length]) + b"\0\0\0\0" + payload)
            elif opcode == 1 and self._heard is not None:
                self._heard(self._cart_id, payload)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._opened.done():
            self._opened.set_exception(ConnectionResetError())

    def close(self) -> None:
        """Break the connection."""
        if self._transport is not None:
            self._transport.abort()


async def connect_all(
    endpoint: Endpoint, keys: dict[int, str], at_once: int, heard: Heard | None = None
) -> list[CrowdCart]:
    """Connect every cart, `at_once` at a time; `keys` are by the carts' ids. Raises TimeoutError, OSError."""
    gate = asyncio.Semaphore(at_once)

    async def one(cart_id: int, key: str) -> CrowdCart:
        async with gate:
            return await asyncio.wait_for(CrowdCart.connect(endpoint, cart_id, key, heard), 30)

    return await asyncio.gather(*(one(cart_id, key) for cart_id, key in keys.items()))
