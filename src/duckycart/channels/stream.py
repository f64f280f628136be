"""This module sends news as server-sent events (HTML, "Server-sent events"): default events, a comment as heartbeat."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from duckycart.channels.channels import Channels
from duckycart.channels.listener import End, Listener
from duckycart.channels.room import Name
from duckycart.effects import News
from duckycart.errors import DuckyCartError
from duckycart.handshake import FIRST_FRAME_SECONDS

_HEARTBEAT: Final = b": \n\n"


def event(data: str, version: int | None = None) -> str:
    """Return one event; `data` is one line. `version` becomes the event's id, which clients may compare."""
    return f"data: {data}\n\n" if version is None else f"id: {version}\ndata: {data}\n\n"


class EventStream(Response):
    """An answer that goes on until the client, the session or the server ends it.

    `opening` gives what is said first (it may raise what becomes an ordinary refusal); `write` makes an event of news,
    "" for nothing to say, and ends the stream by raising an error of ours. `address` is the client's, as limits count
    it; `key` that of a cart's screen.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        channels: Channels,
        name: Name,
        address: str,
        opening: Callable[[], Awaitable[News | None]],
        write: Callable[[News], Awaitable[str]],
        key: str | None = None,
    ) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._channels = channels
        self._name = name
        self._address = address
        self._opening = opening
        self._write = write
        self._key = key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._channels.listening(self._name, self._address, self._key) as listener:
            first = await self._opening()
            self._channels.opened(self._name, listener, first)
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            reading = asyncio.create_task(_until_gone(receive, listener))
            try:
                await asyncio.wait([reading], timeout=FIRST_FRAME_SECONDS)
                await self._go_on(listener, first, send)
            finally:
                reading.cancel()

    async def _go_on(self, listener: Listener, first: News | None, send: Send) -> None:
        async def send_event(news: News | None) -> None:
            content = _HEARTBEAT if news is None else (await self._write(news)).encode()
            await send({"type": "http.response.body", "body": content, "more_body": True})

        try:
            await send_event(first)  # and be it a heartbeat: the client sees that it is heard
            end = End.OVER if first is not None and first.final else await listener.listen(send_event)
        except DuckyCartError:
            end = End.WITHDRAWN
        listener.finish(end)
        if end in (End.OVER, End.WITHDRAWN, End.STOPPING, End.CROWDED):
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _until_gone(receive: Receive, listener: Listener) -> None:
    try:
        while (await receive())["type"] != "http.disconnect":
            pass
    except HTTPException:
        pass  # it sends a body, and too much of it
    listener.finish(End.GONE)
