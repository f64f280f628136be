"""Doubles of a cart."""

import asyncio
import socket
import struct
from collections.abc import Mapping
from typing import Final, Self

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

from duckycart.testing.endpoint import Endpoint
from duckycart.testing.waiting import PATIENCE

_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: the close is a reset


class CartConnection:
    """One WebSocket down to its frames. What comes is read at once; the test says what goes out, and when it breaks.

    Pings are answered as long as `answer_pings` is true, which it is unless `open` was told otherwise.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, protocol: ClientProtocol) -> None:
        self._reader = reader
        self._writer = writer
        self._protocol = protocol
        self._reading: asyncio.Task[None] | None = None
        self.response: Response | None = None  # of the handshake; None: the connection ended before
        self.frames: list[Frame] = []  # that came, in order, also pings and the close
        self.closed: tuple[int, str] | None = None  # code and reason of the server's close frame, if one came
        self.answer_pings = True

    @classmethod
    async def open(
        cls, endpoint: Endpoint, path: str, headers: Mapping[str, str] | None = None, *, answer_pings: bool = True
    ) -> Self:
        """Connect, and wait for the answer to the handshake, whichever it is: `response` holds it.

        Raises OSError when nobody takes the connection, TimeoutError when nothing is answered.
        """
        reader, writer = await endpoint.connect()
        scheme = "ws" if endpoint.tls is None else "wss"
        protocol = ClientProtocol(parse_uri(f"{scheme}://{endpoint.host}:{endpoint.port}{path}"))
        it = cls(reader, writer, protocol)
        it.answer_pings = answer_pings
        request = protocol.connect()
        for name, value in (headers or {}).items():
            request.headers[name] = value
        protocol.send_request(request)
        it._write()
        answered = asyncio.get_running_loop().create_future()
        it._reading = asyncio.create_task(it._read(answered))
        async with asyncio.timeout(PATIENCE):
            await answered
        return it

    @property
    def status(self) -> int:
        """The status that the handshake was answered with: 101 if the cart was let in."""
        assert self.response is not None, "the connection ended before the handshake was answered"
        return self.response.status_code

    @property
    def texts(self) -> list[str]:
        """The commands that came, as they were written, in order."""
        return [bytes(frame.data).decode() for frame in self.frames if frame.opcode is Opcode.TEXT]

    @property
    def pings(self) -> list[bytes]:
        """The payloads of the pings that came, in order."""
        return [bytes(frame.data) for frame in self.frames if frame.opcode is Opcode.PING]

    def pong(self, payload: bytes) -> None:
        """Send a pong, whether or not a ping asked for it."""
        self._protocol.send_pong(payload)
        self._write()

    def send(self, data: bytes) -> None:
        """Send bytes as they are, past the protocol."""
        self._writer.write(data)

    def send_text(self, text: bytes) -> None:
        """Send a text frame."""
        self._protocol.send_text(text)
        self._write()

    def stop_reading(self) -> None:
        """Leave unread whatever comes from now on, so that what the server sends fills its buffers."""
        transport = self._writer.transport
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()

    async def gone(self) -> None:
        """Wait until the server has ended the connection, for PATIENCE at the most."""
        assert self._reading is not None
        async with asyncio.timeout(PATIENCE):
            await asyncio.wait([self._reading])

    def end_of_stream(self) -> None:
        """Say, in the words of TCP, that nothing more will be sent; what comes is read as before."""
        self._writer.write_eof()

    def cut(self, *, reset: bool = False) -> None:
        """Break the connection without a close frame; with `reset` the server's end sees an error, not an end."""
        if self._reading is not None:
            self._reading.cancel()
        if reset:
            self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._writer.transport.abort()

    async def _read(self, answered: "asyncio.Future[None]") -> None:
        try:
            while data := await self._reader.read(65536):
                self._protocol.receive_data(data)
                self._take_events()
                writes = self._protocol.data_to_send()
                if self.answer_pings and writes:
                    self._writer.write(b"".join(writes))
                if self.response is not None and not answered.done():
                    answered.set_result(None)
        except (ConnectionError, EOFError):
            pass
        finally:
            if self.response is None:
                self._protocol.receive_eof()
                self._take_events()
            if not answered.done():
                answered.set_result(None)
            self._writer.close()

    def _take_events(self) -> None:
        for event in self._protocol.events_received():
            if isinstance(event, Response):
                self.response = event
            elif isinstance(event, Frame):
                self.frames.append(event)
                if event.opcode is Opcode.CLOSE:
                    received = self._protocol.close_rcvd
                    assert received is not None
                    self.closed = (received.code, received.reason)

    def _write(self) -> None:
        self._writer.write(b"".join(self._protocol.data_to_send()))
