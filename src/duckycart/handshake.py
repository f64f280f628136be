"""A request opens a WebSocket only if it is as RFC 6455, 4.2.1 says; here is what it lacks, and the answer to that.

One judgement for carts and screens. Whatever asks for something else than a WebSocket is a plain request, and its
`Upgrade` is ignored (RFC 9110, 7.8).
"""

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

Header = Callable[[str], list[str]]  # the values of all lines of that name, in their order

VERSION: Final = "13"
FIRST_FRAME_SECONDS: Final = 0.05
"""Between the answer that opens a socket or stream and what is said on it first.

Libraries of small carts drop what came in the same read as the answer (F61), and are deaf from then on.
"""

_UPGRADE: Final = {"Upgrade": "websocket", "Connection": "Upgrade"}
_ESCAPED: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_UNRESERVED: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


@dataclass(frozen=True, slots=True)
class Flaw:
    """Why a request opens no WebSocket, as an HTTP answer says it."""

    status: int
    code: str
    detail: str
    headers: dict[str, str] = field(default_factory=dict)


def flaw(method: str, http_version: str, header: Header) -> Flaw | None:
    """Return what is wrong with a handshake; None for one that is right. `http_version` is like "1.1"."""
    asks = method == "GET" and http_version == "1.1"
    if not (asks and "upgrade" in tokens(header("Connection")) and "websocket" in tokens(header("Upgrade"))):
        return Flaw(426, "upgrade_required", "This address is a WebSocket; open it with a WebSocket client.", _UPGRADE)
    if len(header("Host")) != 1:
        return _bad("A handshake has exactly one Host.")
    if header("Transfer-Encoding") or any(length.strip() != "0" for length in header("Content-Length")):
        return _bad("A handshake has no body.")
    versions = header("Sec-WebSocket-Version")
    if len(versions) != 1:
        return _bad("A handshake has exactly one Sec-WebSocket-Version.", _speaks())
    if versions[0].strip() != VERSION:
        detail = f"This server speaks version {VERSION} of the WebSocket protocol alone."
        return Flaw(426, "unknown_websocket_version", detail, _UPGRADE | _speaks())
    keys = header("Sec-WebSocket-Key")
    if len(keys) != 1 or not _is_key(keys[0].strip()):
        return _bad("A handshake has exactly one Sec-WebSocket-Key: 16 bytes in base64.")
    return None


def _bad(detail: str, headers: dict[str, str] | None = None) -> Flaw:
    return Flaw(400, "bad_handshake", detail, headers or {})


def tokens(lines: list[str]) -> set[str]:
    """Return the members of a list in lower case, however many lines it is on (RFC 9110, 5.6.1)."""
    return {token.strip().lower() for line in lines for token in line.split(",")} - {""}


def origin_form(target: bytes) -> bytes:
    """Return the path and query of a request's target, whatever its form (RFC 9112, 3.2), without a fragment.

    Escaped letters, digits and `-._~` are the characters themselves (RFC 3986, 6.2.2.2); nothing else is unescaped.
    """
    if not target.startswith(b"/") and (scheme := target.find(b"://")) > 0:
        target = target[scheme + 3 :]
        begin = min((at for at in map(target.find, (b"/", b"?", b"#")) if at >= 0), default=len(target))
        target = target[begin:] if target[begin : begin + 1] == b"/" else b"/" + target[begin:]
    path, mark, query = target.partition(b"#")[0].partition(b"?")
    return _ESCAPED.sub(_unescape, path) + mark + query


def _unescape(escaped: re.Match[bytes]) -> bytes:
    byte = int(escaped[1], 16)
    return bytes([byte]) if byte in _UNRESERVED else escaped[0]


def _speaks() -> dict[str, str]:
    return {"Sec-WebSocket-Version": VERSION}


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        return False
