"""The client's end of a WebSocket works frame by frame: it reads when it is told to, and answers when it is told to."""

import asyncio
from collections.abc import Mapping

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

from duckycart.testing.endpoint import Endpoint


class Frames:
    """One connection. Nothing is read before `read`, and no ping is answered before `answer`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, url: str) -> None:
        self._reader = reader
        self.writer = writer
        self.protocol = ClientProtocol(parse_uri(url))  # what it wants to send waits in it until `answer`
        self.response: Response | None = None  # to the handshake; None until it came
        self.closed: tuple[int, str] | None = None  # code and reason of the server's close frame, once it came

    @classmethod
    async def open(cls, endpoint: Endpoint, path: str, headers: Mapping[str, str]) -> "Frames":
        """Connect and send the handshake. Raises OSError."""
        reader, writer = await endpoint.connect()
        scheme = "ws" if endpoint.tls is None else "wss"
        it = cls(reader, writer, f"{scheme}://{endpoint.host}:{endpoint.port}{path}")
        request = it.protocol.connect()
        for name, value in headers.items():
            request.headers[name] = value
        it.protocol.send_request(request)
        it.answer()
        return it

    async def read(self) -> list[Frame]:
        """Take in the next bytes; the frames that are whole with them. Raises OSError, EOFError."""
        data = await self._reader.read(65536)
        if data:
            self.protocol.receive_data(data)
        else:
            self.protocol.receive_eof()
        frames = []
        for event in self.protocol.events_received():
            if isinstance(event, Response):
                self.response = event
            elif isinstance(event, Frame):
                frames.append(event)
                if event.opcode is Opcode.CLOSE:
                    received = self.protocol.close_rcvd
                    assert received is not None
                    self.closed = (received.code, received.reason)
        if not data:
            raise EOFError
        return frames

    def answer(self) -> None:
        """Send what there is to send: pongs for all pings that were read, and the answer to a close."""
        if chunks := self.protocol.data_to_send():
            self.writer.write(b"".join(chunks))
