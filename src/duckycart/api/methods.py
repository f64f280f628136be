"""HEAD is answered wherever GET is, OPTIONS wherever anything is (RFC 9110, 9.3.2 and 9.3.7)."""

from typing import Final

from fastapi import Request
from fastapi.routing import RouteContext, iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

_ASKED: Final = "duckycart.method"  # in the scope: what the client asked for, where that is not what is done


class Head:
    """ASGI middleware that answers HEAD as GET. The server leaves the body out."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "HEAD":
            scope = {**scope, "method": "GET", _ASKED: "HEAD"}
        await self._app(scope, receive, send)


async def get_only(request: Request) -> None:
    """Refuse HEAD: a dependency of calls whose GET has an effect or never ends."""
    if request.scope.get(_ASKED) == "HEAD":
        raise HTTPException(405, headers={"Allow": "GET"})


def allowed(request: Request) -> set[str]:
    """Return the methods that the request's address takes, OPTIONS aside."""
    methods: set[str] = set()
    for route in iter_route_contexts(request.app.routes):
        if route.methods and route.path_regex.match(request.scope["path"]):
            methods |= route.methods
            if "GET" in route.methods and not is_get_only(route):
                methods.add("HEAD")
    return methods


def is_get_only(route: RouteContext) -> bool:
    """Return whether `get_only` guards the route."""
    return any(it.dependency is get_only for it in getattr(route, "dependencies", ()))
