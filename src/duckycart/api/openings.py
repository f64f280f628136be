"""Streams and sockets of screens and phones are opened in turns, and this is their door."""

import re
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from duckycart.api.errors import answer_to
from duckycart.errors import Unavailable
from duckycart.shop import Shop

LISTENS: Final = re.compile(r"/sse/[^/]+|/customer-session/[^/]+/events|/ws/[^/]+")


class InTurn:
    """ASGI middleware in which whatever opens a stream or socket waits for its turn (channels/openings.py)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or LISTENS.fullmatch(scope["path"]) is None:
            await self._app(scope, receive, send)
            return
        shop: Shop = scope["state"]["shop"]
        try:
            turn = shop.openings.turn()
        except Unavailable as error:
            await answer_to(error)(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            shop.openings.over(turn)
            await send(message)

        try:
            await turn
            await self._app(scope, receive, answer)
        finally:
            shop.openings.over(turn)
