"""An answer goes out in one piece, though uvicorn writes its head first and its body then: each piece is a system call,
and a packet."""

import asyncio
from typing import Final


class WholeAnswers:
    """Stands for a connection's transport where answers are written. What is written waits for what else is written in
    the same turn of the event loop, and no longer: the first bytes of a stream go out with the turn."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport: Final = transport
        self._loop: Final = loop
        self._waiting = b""
        self._turn: asyncio.Handle | None = None  # at whose end what waits is written

    def write(self, data: bytes) -> None:
        if self._turn is None:
            self._waiting = data
            self._turn = self._loop.call_soon(self._flush)
        else:
            self._waiting += data
            self._flush()

    def close(self) -> None:
        """Close the transport, behind what was written."""
        self._flush()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def _flush(self) -> None:
        if self._turn is None:
            return
        self._turn.cancel()
        self._turn = None
        data, self._waiting = self._waiting, b""
        if not self._transport.is_closing():
            self._transport.write(data)
