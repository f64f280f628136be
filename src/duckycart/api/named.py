"""A cart's call says besides its key from which boot of the cart it comes, and which session it is about."""

import json
import re
from typing import Any, Final

from starlette.requests import HTTPConnection, Request

_NUMBER: Final = re.compile(r"[0-9]{1,9}")
_IN_BODY: Final = ("sessionID", "session_id")  # as fielded carts send it, some here, some there
_WITH_BODY: Final = ("POST", "PUT", "DELETE")


async def named_session(request: HTTPConnection) -> int | None:
    """Return the session that the request's path or body names, however wrong the rest is; None if none can be read."""
    named = request.path_params.get("session_id")
    if named is None and isinstance(request, Request) and request.method in _WITH_BODY:
        body = _object(await request.body())
        named = next((body[name] for name in _IN_BODY if name in body), None)
    if isinstance(named, bool) or not isinstance(named, int | str) or not _NUMBER.fullmatch(str(named)):
        return None
    return int(named)


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
