"""Without TLS the port of TLS answers a cart's own calls, and nothing of screens, shoppers or operators."""

import re
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from duckycart.api.errors import answer_to
from duckycart.refusals import TLS_ONLY

# A cart's socket is not here: it is answered below this (hardware/socket.py).
CARTS: Final = re.compile(
    r"/customer-session/(qr|cart|cart-status)/[^/]+|/items/read|/cart-items/(add|remove)"
    r"|/fraud-warnings/(notify-cart-update)?|/session-location/[^/]+"
)


class PlainForCarts:
    """ASGI middleware for a port that takes both: it refuses what came without TLS and is not a cart's call."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or scope["scheme"] in ("https", "wss") or CARTS.fullmatch(scope["path"]):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await WebSocket(scope, receive, send).send_denial_response(answer_to(TLS_ONLY()))
        else:
            await answer_to(TLS_ONLY())(scope, receive, send)
