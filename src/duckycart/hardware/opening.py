"""A cart's handshake: what it asks, read from the headers that uvicorn has parsed, and our answer's bytes (RFC 6455,
4.2)."""

from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlsplit

from websockets.utils import accept_key

from duckycart.handshake import Header

Headers = Iterable[tuple[bytes, bytes]]  # as ASGI has them


@dataclass(frozen=True, slots=True)
class Opening:
    """A request in which `handshake.flaw` found nothing wrong."""

    path: str
    query: str
    header: Header
    size: int  # bytes of its target and headers


def opening_of(target: bytes, headers: Headers) -> Opening:
    """Return what a cart asks; `target` is in origin-form, the headers' names are in lower case."""
    lines: dict[str, list[str]] = {}
    size = len(target)
    for name, value in headers:
        lines.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
        size += len(name) + len(value) + 4
    parts = urlsplit(target.decode("latin-1"))
    return Opening(parts.path, parts.query, lambda name: lines.get(name.lower(), []), size)


def accepted(opening: Opening, headers: Headers) -> bytes:
    """Return the answer that opens the WebSocket, without extensions and subprotocols; `headers` are every answer's."""
    (key,) = opening.header("Sec-WebSocket-Key")
    accept = accept_key(key).encode()
    own = ((b"Upgrade", b"websocket"), (b"Connection", b"Upgrade"), (b"Sec-WebSocket-Accept", accept))
    return _head(101, headers, own)


def rejected(status: int, sentence: str, retry_after: int | None, headers: Headers) -> bytes:
    """Return an answer after which the connection is closed, with a sentence for whoever reads the cart's log."""
    body = f"{sentence}\n".encode()
    own = [(b"Connection", b"close"), (b"Content-Length", b"%d" % len(body))]
    own.append((b"Content-Type", b"text/plain; charset=utf-8"))
    if retry_after is not None:
        own.append((b"Retry-After", b"%d" % retry_after))
    return _head(status, headers, own) + body


def _head(status: int, headers: Headers, own: Headers) -> bytes:
    """Write names as everybody does: small carts compare letters, though case means nothing (RFC 9110, 5.1)."""
    line = b"HTTP/1.1 %d %b\r\n" % (status, HTTPStatus(status).phrase.encode())
    lines = (b"%b: %b\r\n" % header for header in (*((name.title(), value) for name, value in headers), *own))
    return line + b"".join(lines) + b"\r\n"
