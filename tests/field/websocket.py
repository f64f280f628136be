"""The doubles' end of a WebSocket: it decides itself when it reads and when it answers pings."""

import asyncio
from http import HTTPStatus

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

from tests.field.calls import Lost
from tests.field.network import Network

_URI = parse_uri("ws://shop/")


class Refused(Exception):
    """Answered with a status instead of the upgrade."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Gone(Exception):
    """The connection is over; `code` is what the server closed it with, None when it just broke."""

    def __init__(self, code: int | None) -> None:
        super().__init__(code)
        self.code = code


class WebSocket:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._protocol = ClientProtocol(_URI)
        self._texts: list[str] = []
        self._code: int | None = None
        self._owes = False  # a pong for a ping that came before the texts that wait

    @classmethod
    async def open(cls, network: Network, address: str, path: str, headers: dict[str, str]) -> "WebSocket":
        """Raises Refused; Lost when the connection broke before the answer came."""
        try:
            it = cls(*await network.connect(address))
        except OSError as error:
            raise Lost(path) from error
        try:
            response = await it._shake_hands(path, headers)
            if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
                raise Refused(response.status_code)
        except BaseException as error:
            it.close()
            if isinstance(error, OSError | EOFError):
                raise Lost(path) from error
            raise
        return it

    async def _shake_hands(self, path: str, headers: dict[str, str]) -> Response:
        request = self._protocol.connect()
        request.path = path
        for name, value in headers.items():
            request.headers[name] = value
        self._protocol.send_request(request)
        self.answer()
        while (response := await self._read()) is None:
            pass
        return response

    async def _read(self) -> Response | None:
        """Take in the next bytes; the handshake's answer if it was among them. Raises OSError, EOFError."""
        data = await self._reader.read(65536)
        if not data:
            raise EOFError
        self._protocol.receive_data(data)
        response = None
        for event in self._protocol.events_received():
            match event:
                case Response():
                    response = event
                case Frame(Opcode.PING):
                    self._owes |= not self._texts
                case Frame(Opcode.TEXT):
                    self._texts.append(bytes(event.data).decode())
                case Frame(Opcode.CLOSE):
                    assert self._protocol.close_rcvd is not None
                    self._code = self._protocol.close_rcvd.code
        return response

    async def receive(self) -> list[str]:
        """What comes next, in order. Whatever pings were read before are answered first. Raises Gone."""
        while True:
            self.answer()
            if self._texts:
                texts, self._texts = self._texts, []
                return texts
            if self._code is not None:
                raise Gone(self._code)
            try:
                await self._read()
            except (OSError, EOFError):
                raise Gone(None) from None
            if self._owes:  # a pong that its library sends before it calls the handler of the next text
                self.answer()
            if self._texts:
                texts, self._texts = self._texts, []
                return texts  # their own pings are not answered yet

    def answer(self) -> None:
        """Pongs for all pings that were read."""
        self._owes = False
        if chunks := self._protocol.data_to_send():
            self._writer.write(b"".join(chunks))

    def close(self) -> None:
        self._writer.close()
