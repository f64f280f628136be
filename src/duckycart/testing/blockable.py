"""This WebSocket has a reader that stands still while it works: it says itself when it reads and when it answers
pings."""

from collections.abc import Mapping
from http import HTTPStatus

from websockets.frames import Opcode

from duckycart.testing.caller import Lost
from duckycart.testing.endpoint import Endpoint
from duckycart.testing.frames import Frames


class Refused(Exception):
    """The handshake was answered with another status than 101."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Gone(Exception):
    """The connection is over; `code` is what the server closed it with, None when it just broke."""

    def __init__(self, code: int | None) -> None:
        super().__init__(code)
        self.code = code


class BlockableSocket:
    """A socket of a program with one thread, whose handlers keep its library from reading and from answering."""

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self._texts: list[str] = []
        self._owes = False  # a pong for a ping that came before the texts that wait

    @classmethod
    async def open(cls, endpoint: Endpoint, path: str, headers: Mapping[str, str]) -> "BlockableSocket":
        """Connect and be let in. Raises Refused; Lost when the connection broke before the answer came."""
        try:
            frames = await Frames.open(endpoint, path, headers)
        except OSError as error:
            raise Lost(path) from error
        it = cls(frames)
        try:
            while frames.response is None:
                await it._read()
            if frames.response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
                raise Refused(frames.response.status_code)
        except BaseException as error:
            it.close()
            if isinstance(error, OSError | EOFError):
                raise Lost(path) from error
            raise
        return it

    async def _read(self) -> None:
        for frame in await self._frames.read():
            if frame.opcode is Opcode.PING:
                self._owes |= not self._texts
            elif frame.opcode is Opcode.TEXT:
                self._texts.append(bytes(frame.data).decode())

    async def receive(self) -> list[str]:
        """Return what comes next, in order. Whatever pings were read before are answered first. Raises Gone."""
        while True:
            self.answer()
            if self._texts:
                texts, self._texts = self._texts, []
                return texts
            if self._frames.closed is not None:
                raise Gone(self._frames.closed[0])
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
        """Send the pongs for all pings that were read."""
        self._owes = False
        self._frames.answer()

    def close(self) -> None:
        """Let the connection go, without a close frame."""
        self._frames.writer.close()
