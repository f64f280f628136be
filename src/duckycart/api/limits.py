"""Bounds on the size of a request, judged before it is read."""

from collections.abc import Iterable
from typing import Final

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from duckycart.api.errors import problem

MAX_BODY: Final = 64 * 1024  # bytes; the largest honest body is a provider's webhook
MAX_QUERY: Final = 4096
TOO_LARGE: Final = (413, "body_too_large", f"The body is over {MAX_BODY} bytes.")
TOO_LONG: Final = (414, "query_too_long", f"The query string is over {MAX_QUERY} bytes.")
_CLOSE: Final = {"Connection": "close"}  # or the rest of the body would still be read


def declared_length(headers: Iterable[tuple[bytes, bytes]]) -> int:
    """Content-Length of a head that was parsed; 0 where none is declared.

    It may begin with thousands of zeros (RFC 9110, 8.6), and Python reads no number of so many digits.
    """
    return int(dict(headers).get(b"content-length", b"").lstrip(b"0") or b"0")


class BodyLimit:
    """ASGI middleware: 413 for a body over MAX_BODY, declared or not, and 414 for an endless query string."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if len(scope["query_string"]) > MAX_QUERY:
            refusal = problem(*TOO_LONG)
            await refusal(scope, receive, send)
            return
        if declared_length(scope["headers"]) > MAX_BODY:
            refusal = problem(*TOO_LARGE, headers=_CLOSE)
            await refusal(scope, receive, send)
            return
        received = 0

        async def bounded() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > MAX_BODY:
                raise HTTPException(413, TOO_LARGE[2], _CLOSE)  # the one kind that FastAPI lets through while it reads
            return message

        await self._app(scope, bounded, send)
