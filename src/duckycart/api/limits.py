"""A request that is too large is refused before it is read."""

from collections.abc import Iterable
from typing import Final

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from duckycart.api.errors import answer_to
from duckycart.refusals import BODY_TOO_LARGE, QUERY_TOO_LONG

MAX_BODY: Final = 64 * 1024  # bytes; the largest honest body is a provider's webhook
MAX_QUERY: Final = 4096
_CLOSE: Final = {"Connection": "close"}  # or the rest of the body would still be read


def declared_length(headers: Iterable[tuple[bytes, bytes]]) -> int:
    """Return the Content-Length of a head that was parsed; 0 where none is declared.

    The number may begin with thousands of zeros (RFC 9110, 8.6), and Python reads no number of so many digits.
    """
    return int(dict(headers).get(b"content-length", b"").lstrip(b"0") or b"0")


class BodyLimit:
    """ASGI middleware that refuses with 413 a body over MAX_BODY, declared or not, with 414 an endless query string."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if len(scope["query_string"]) > MAX_QUERY:
            refusal = answer_to(QUERY_TOO_LONG(bytes=MAX_QUERY))
            await refusal(scope, receive, send)
            return
        if declared_length(scope["headers"]) > MAX_BODY:
            refusal = answer_to(BODY_TOO_LARGE(bytes=MAX_BODY), headers=_CLOSE)
            await refusal(scope, receive, send)
            return
        received = 0

        async def bounded() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > MAX_BODY:
                too_large = BODY_TOO_LARGE(bytes=MAX_BODY)
                # The one kind that FastAPI lets through while it reads.
                raise HTTPException(too_large.status, too_large.detail, _CLOSE)
            return message

        await self._app(scope, bounded, send)
