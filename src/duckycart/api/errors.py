"""Errors become HTTP answers here and nowhere else: problem documents (RFC 9457), with `message` for older clients."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from duckycart.api.methods import allowed
from duckycart.api.sentences import field_of, problem_of, sentence_of
from duckycart.api.who import who
from duckycart.errors import DuckyCartError, Invalid
from duckycart.refusals import BAD_BODY, BODY_TOO_LARGE, INTERNAL_ERROR, INVALID_REQUEST, METHOD_NOT_ALLOWED, NOT_FOUND

log = structlog.get_logger()

PROBLEM: Final = "application/problem+json"

TITLES: Final = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    410: "Gone",
    413: "Content Too Large",
    414: "URI Too Long",
    422: "Unprocessable Content",
    426: "Upgrade Required",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
}

# What Starlette and FastAPI raise by themselves, in our words.
_HTTP: Final = {
    400: (BAD_BODY.code, BAD_BODY.sentence),
    404: (NOT_FOUND.code, NOT_FOUND.sentence),
    405: (METHOD_NOT_ALLOWED.code, METHOD_NOT_ALLOWED.sentence),
    413: (BODY_TOO_LARGE.code, None),  # limits.py says how large
}


def problem_content(status: int, code: str, detail: str, **fields: Any) -> dict[str, Any]:
    """Return a problem document whose `detail` is a plain sentence."""
    return {
        "type": "about:blank",
        "title": TITLES.get(status, "Error"),
        "status": status,
        "detail": detail,
        "code": code,
        "message": detail,
        **fields,
    }


def content_of(error: DuckyCartError) -> dict[str, Any]:
    """Return the problem document of an error of ours."""
    return problem_content(error.status, error.code, error.detail, **error.fields)


def problem(
    status: int, code: str, detail: str, *, headers: dict[str, str] | None = None, **fields: Any
) -> JSONResponse:
    """Return an error answer: a problem document with these headers."""
    content = problem_content(status, code, detail, **fields)
    return JSONResponse(content, status, headers, media_type=PROBLEM)


def answer_to(error: DuckyCartError, *, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return the answer to a request that was refused, with these headers."""
    waits = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    return JSONResponse(content_of(error), error.status, {**(headers or {}), **waits}, media_type=PROBLEM)


def _let_go(error: Exception) -> None:
    """Cut an error off its traceback. FastAPI makes one error of another in a frame that the error holds and that holds
    the error, once for each body that broke off: garbage that only a collection would find."""
    error.__traceback__ = error.__cause__ = error.__context__ = None


# All are `async`: Starlette gives what is not a thread.


async def of_ours(request: Request, error: Exception) -> JSONResponse:
    """Return the answer to a request that one of our errors ended."""
    assert isinstance(error, DuckyCartError)
    if isinstance(error, Invalid):
        await _ask_who(request)
    return answer_to(error, headers={"WWW-Authenticate": "Bearer"} if error.status == 401 else None)


async def _ask_who(request: Request) -> None:
    """Look whose request it is, though it is refused. FastAPI refuses a body that it cannot read before it asks who
    sent it, and a cart that names its session in the path has heard of that session all the same (F43)."""
    if "session_id" in request.path_params:
        with suppress(DuckyCartError):
            await who(request)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    _let_go(error)
    await _ask_who(request)
    found = error.errors()
    fields = [{"field": field_of(one), "problem": problem_of(one)} for one in found]
    return answer_to(INVALID_REQUEST(why=sentence_of(found[0]), errors=fields))


async def of_http(request: Request, error: Exception) -> Response:
    """Return the answer to a request that Starlette refused."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405 and (methods := allowed(request)):
        allow = {"Allow": ", ".join(sorted(methods | {"OPTIONS"}))}
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=allow)
        error.headers = {**(error.headers or {}), **allow}
    _let_go(error)
    await _ask_who(request)
    code, detail = _HTTP.get(error.status_code, ("http_error", None))
    return problem(error.status_code, code, detail or str(error.detail), headers=dict(error.headers or {}))


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    log.error("request failed", path=request.url.path, method=request.method, exc_info=error)
    return answer_to(INTERNAL_ERROR())


async def _gone(request: Request, error: Exception) -> Response:
    return Response(status_code=400)  # read by nobody


def install(app: FastAPI) -> None:
    app.add_exception_handler(DuckyCartError, of_ours)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, of_http)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _unexpected)
