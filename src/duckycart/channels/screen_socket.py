"""A screen or phone has a WebSocket of uvicorn's own class, with our guards before it."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode

from duckycart.guards.frames import FLOOD, FrameGuard
from duckycart.guards.turns import InTurns
from duckycart.guards.unread import MustRead

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.server import ServerState

FLOOD_CODE: Final = 1008
CLOSE_SECONDS: Final = 3.0  # for a peer that we stopped listening to


class ScreenSocket(InTurns, MustRead, WebSocketsSansIOProtocol):
    """One connection of a screen or phone. A screen owes nothing but pongs: what else it sends is counted and dropped.

    Bytes that arrive before the handshake is answered wait until it is.
    """

    def __init__(self, config: "Config", server_state: "ServerState", app_state: dict[str, Any]) -> None:
        WebSocketsSansIOProtocol.__init__(self, config, server_state, app_state)
        InTurns.__init__(self)
        self._monotonic: Callable[[], float] = app_state["shop"].clock.monotonic
        self._guard = FrameGuard(self._monotonic())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._watch(cast(asyncio.Transport, transport))
        self.app_state["shop"].places.settle(transport, self._idle)

    def data_received(self, data: bytes) -> None:
        if self.handshake_initiated:
            self._came(data)
        else:
            super().data_received(data)  # the head, made and bounded by the HTTP class

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        self._watch_no_more()
        self.app_state["shop"].places.leave(self.transport)
        super().connection_lost(exc)
        self.conn.parser.close()  # a generator that holds the protocol that holds it
        self.conn.parser_exc = None  # its traceback holds the generator

    async def send(self, message: Any) -> None:
        if self.close_sent and self.initial_response is None:
            raise ClientDisconnected  # this class closed it; uvicorn takes the message for a mistake, with a traceback
        await super().send(message)
        if self.initial_response is not None and self.close_sent:
            self.handshake_complete = True  # it was refused; uvicorn would log an error for each
        self._go_on()

    def _open_transport(self) -> asyncio.Transport | None:
        return None if self.disconnected or self.transport.is_closing() else self.transport

    def _idle(self) -> bool:
        return not self.writable.is_set()

    def _holding(self) -> bool:
        return not self.handshake_complete

    def _parse(self, data: bytes, begin: int, end: int) -> int:
        end = self._guard.end_of_frame(data, begin, end)
        self.conn.receive_data(data[begin:end])
        if self.conn.parser_exc is not None:
            self._stop()
            self.handle_parser_exception()
            return end
        for event in self.conn.events_received():
            assert isinstance(event, Frame)
            self._heard(event)
        return end

    def _heard(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            self._stop()
            self.handle_close(frame)
            return
        asked = self.pending_ping_payload
        if frame.opcode is Opcode.PONG and asked is not None and bytes(frame.data) == asked:
            self.handle_pong(frame)
        elif not self._guard.one_more(self._monotonic()):
            self._end_flood()
        elif frame.opcode is Opcode.PING:
            self.handle_ping()

    def _end_flood(self) -> None:
        self._stop()
        self.stop_keepalive()
        if not self.close_sent:
            self.close_sent = True
            self.queue.put_nowait({"type": "websocket.disconnect", "code": FLOOD_CODE, "reason": FLOOD})
            self.conn.send_close(FLOOD_CODE, FLOOD)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.transport.pause_reading()  # it goes on sending, and nobody parses that
        if self.close_timer is not None:
            self.close_timer.cancel()
        self.close_timer = self.loop.call_later(CLOSE_SECONDS, self.transport.abort)
