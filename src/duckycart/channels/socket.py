"""This module sends news over a WebSocket in uvicorn's own class, which pings, and closes on who does not answer."""

import asyncio
from typing import Final

from starlette.websockets import WebSocket

from duckycart.channels.listener import End, Listener
from duckycart.channels.messages import encode
from duckycart.effects import News
from duckycart.handshake import FIRST_FRAME_SECONDS

_CODES: Final = {End.OVER: 1000, End.STOPPING: 1012, End.CROWDED: 1013}  # the others can hear no code


async def serve_socket(websocket: WebSocket, listener: Listener, first: News) -> None:
    """Open the socket, send `first` and then all that comes. When `first` is the session's last word, close at once
    with 1000."""

    async def write(news: News | None) -> None:
        if news is not None:  # uvicorn's pings are the heartbeat here
            await websocket.send_text(encode(news))

    await websocket.accept()
    reading = asyncio.create_task(_until_gone(websocket, listener))
    try:
        await asyncio.wait([reading], timeout=FIRST_FRAME_SECONDS)
        await write(first)
        end = End.OVER if first.final else await listener.listen(write)
        listener.finish(end)
        if end in _CODES:
            await websocket.close(_CODES[end])
    finally:
        reading.cancel()


async def _until_gone(websocket: WebSocket, listener: Listener) -> None:
    """Read until the screen closes, and ignore what it sends."""
    while (message := await websocket.receive())["type"] != "websocket.disconnect":
        pass
    listener.close_code = message.get("code")
    listener.finish(End.GONE)
