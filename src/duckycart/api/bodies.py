"""A request's body is read as what it is, whatever its Content-Type calls it (F62).

Carts and small devices send JSON without a Content-Type, as text/plain or as a form, and FastAPI would read none of it.
At a door that takes JSON everything is JSON; at the one that takes a form, what begins with a brace is JSON too. Which
cause there is when it cannot be read is said in a sentence.
"""

import re
from collections.abc import Callable, Coroutine
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import Request, Response, params
from fastapi.routing import APIRoute
from starlette.types import Message, Receive

from duckycart.json_text import BOM, NotJson, kind_of, read_json
from duckycart.refusals import INVALID_JSON, NO_OBJECT, NO_TEXT

_JSON: Final = b"application/json"
_FORM: Final = b"application/x-www-form-urlencoded"
_PARTS: Final = "multipart/form-data"
_NOT_ASCII: Final = re.compile(rb"[\x80-\xff]")  # in a form: UTF-8 that was not escaped, as `curl -d` sends it


def body_first(request: Request, body: bytes) -> Receive:
    """Return a `receive` that gives a body that was read already, then what comes after it. The closure holds no
    request that holds the closure, or each request would be garbage that only a collection finds."""
    unread: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    later = request.receive

    async def receive() -> Message:
        return unread.pop() if unread else await later()

    return receive


class _Read(Request):
    """A request whose body was read, with the Content-Type that fits the body."""

    def __init__(self, request: Request, kind: bytes, body: bytes, content: Any) -> None:
        headers = [(name, value) for name, value in request.scope["headers"] if name != b"content-type"]
        super().__init__({**request.scope, "headers": [*headers, (b"content-type", kind)]}, body_first(request, body))
        self._content = content

    async def json(self) -> Any:
        return self._content


class BodyRoute(APIRoute):
    """A route reads its body by `_as_json` or `_as_form`. Raises Invalid for a body that cannot be read."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        field = self.body_field
        if field is None:
            return handle
        read = _as_form if isinstance(field.field_info, params.Form) else _as_json
        needed = field.field_info.is_required()

        async def read_and_handle(request: Request) -> Response:
            return await handle(read(request, await request.body(), needed))

        return read_and_handle


def _as_json(request: Request, body: bytes, needed: bool) -> Request:
    if not body and not needed:
        return _Read(request, _JSON, b"", None)
    content = _json(body)
    if not isinstance(content, dict) and (needed or content is not None):
        raise NO_OBJECT(kind=kind_of(content))
    return _Read(request, _JSON, body, content)


def _as_form(request: Request, body: bytes, needed: bool) -> Request:
    kind = request.headers.get("content-type", "")
    if body.removeprefix(BOM).lstrip(b" \t\r\n").startswith(b"{"):
        given = _json(body)
        for name, value in given.items():
            if not isinstance(value, str):
                raise NO_TEXT(field=name[:40], kind=kind_of(value))
        return _Read(request, _FORM, urlencode(given, errors="replace").encode(), None)
    if kind.lower().startswith(_PARTS):
        return _Read(request, kind.encode("latin-1"), body, None)
    return _Read(request, _FORM, _NOT_ASCII.sub(_escape, body), None)


def _escape(byte: re.Match[bytes]) -> bytes:
    return b"%%%02X" % byte[0][0]


def _json(body: bytes) -> Any:
    try:
        return read_json(body)
    except NotJson as error:
        raise INVALID_JSON(why=error) from error
