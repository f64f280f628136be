"""Doubles of a cart."""

import asyncio
import socket
import struct
from collections.abc import Mapping
from typing import Final

from websockets.frames import Frame, Opcode
from websockets.http11 import Response

from duckycart.testing.endpoint import Endpoint
from duckycart.testing.frames import Frames
from duckycart.testing.waiting import PATIENCE

_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: the close is a reset


class CartConnection:
    """One WebSocket down to its frames. What comes is read at once; the test says what goes out, and when it breaks.

    Pings are answered as long as `answer_pings` is true, which it is unless `open` was told otherwise.
    """

    def __init__(self, socket: Frames, *, answer_pings: bool = True) -> None:
        self._socket = socket
        self._reading: asyncio.Task[None] | None = None
        self.frames: list[Frame] = []  # that came, in order, also pings and the close
        self.answer_pings = answer_pings

    @classmethod
    async def open(
        cls, endpoint: Endpoint, path: str, headers: Mapping[str, str] | None = None, *, answer_pings: bool = True
    ) -> "CartConnection":
        """Connect, and wait for the answer to the handshake, whichever it is: `response` holds it.

        Raises OSError when nobody takes the connection, TimeoutError when nothing is answered.
        """
        it = cls(await Frames.open(endpoint, path, headers or {}), answer_pings=answer_pings)
        answered = asyncio.get_running_loop().create_future()
        it._reading = asyncio.create_task(it._read(answered))
        async with asyncio.timeout(PATIENCE):
            await answered
        return it

    @property
    def response(self) -> Response | None:
        """The answer to the handshake; None if the connection ended before."""
        return self._socket.response

    @property
    def closed(self) -> tuple[int, str] | None:
        """Code and reason of the server's close frame, if one came."""
        return self._socket.closed

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
        self._socket.protocol.send_pong(payload)
        self._socket.answer()

    def send(self, data: bytes) -> None:
        """Send bytes as they are, past the protocol."""
        self._socket.writer.write(data)

    def send_text(self, text: bytes) -> None:
        """Send a text frame."""
        self._socket.protocol.send_text(text)
        self._socket.answer()

    def stop_reading(self) -> None:
        """Leave unread whatever comes from now on, so that what the server sends fills its buffers."""
        transport = self._socket.writer.transport
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()

    async def gone(self) -> None:
        """Wait until the server has ended the connection, for PATIENCE at the most."""
        assert self._reading is not None
        async with asyncio.timeout(PATIENCE):
            await asyncio.wait([self._reading])

    def end_of_stream(self) -> None:
        """Say, in the words of TCP, that nothing more will be sent; what comes is read as before."""
        self._socket.writer.write_eof()

    def cut(self, *, reset: bool = False) -> None:
        """Break the connection without a close frame; with `reset` the server's end sees an error, not an end."""
        if self._reading is not None:
            self._reading.cancel()
        if reset:
            self._socket.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._socket.writer.transport.abort()

    async def _read(self, answered: "asyncio.Future[None]") -> None:
        try:
            while True:
                self.frames += await self._socket.read()
                if self.answer_pings:
                    self._socket.answer()
                else:
                    self._socket.protocol.data_to_send()  # and never sent
                if self.response is not None and not answered.done():
                    answered.set_result(None)
        except (ConnectionError, EOFError):
            pass
        finally:
            if not answered.done():
                answered.set_result(None)
            self._socket.writer.close()
