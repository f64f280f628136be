"""The addresses of sockets answer requests that do not open one."""

from typing import Final

import structlog
from fastapi import APIRouter, Request, Response

from duckycart.api.errors import problem
from duckycart.api.who import address
from duckycart.handshake import Flaw, flaw
from duckycart.refusals import NOT_FOUND

log = structlog.get_logger()

router = APIRouter(prefix="/ws", include_in_schema=False)

_NO_SOCKET: Final = Flaw(NOT_FOUND.kind.status, NOT_FOUND.code, NOT_FOUND.sentence)


@router.get("/{path:path}")
async def no_handshake(request: Request, path: str) -> Response:
    """Tell whoever asks without a handshake, or with a wrong one, what is wrong with the request."""
    scope = request.scope
    wrong = flaw(scope["method"], scope["http_version"], request.headers.getlist) if path else None
    wrong = wrong or _NO_SOCKET
    answer = problem(wrong.status, wrong.code, wrong.detail, headers=wrong.headers)
    if "upgrade" in request.headers:
        where = {"path": scope["path"][:100], "address": address(request)}
        log.info("socket refused", status=wrong.status, reason=wrong.code, detail=wrong.detail, **where)
        # Whatever it sends next may be meant for a socket.
        answer.headers["Connection"] = ", ".join(filter(None, [answer.headers.get("Connection"), "close"]))
    return answer
