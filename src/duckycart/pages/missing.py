"""Somebody whose browser asks for what is not there gets a page; a program gets its problem document."""

from typing import Final

from fastapi import FastAPI, Request, Response

from duckycart.api.errors import of_http, of_ours
from duckycart.errors import DuckyCartError
from duckycart.pages.assets import OWN_ALONE, read_page, send_page

_PAGE: Final = read_page("missing.html")


def install(app: FastAPI) -> None:
    """Give people a page for 404, on whatever address. It stands after `errors.install`, whose answers it looks at."""

    async def nothing(request: Request, error: Exception) -> Response:
        return _for_people(request, await of_http(request, error))

    async def ours(request: Request, error: Exception) -> Response:
        return _for_people(request, await of_ours(request, error))

    app.add_exception_handler(404, nothing)
    app.add_exception_handler(DuckyCartError, ours)


def _for_people(request: Request, answer: Response) -> Response:
    # A program that takes anything says */* or nothing; a browser that goes to an address names HTML.
    if answer.status_code != 404 or request.method != "GET" or "text/html" not in request.headers.get("accept", ""):
        return answer
    page = send_page(_PAGE, OWN_ALONE + "img-src 'self'")
    page.status_code = 404
    return page
