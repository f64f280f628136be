"""Credentials open calls, and are declared in OpenAPI as FastAPI's security classes do it.

As dependencies of their own, four of them cost each request 33 µs. So the dependencies in `who.py` look for all
credentials themselves, and `@opened_by` declares which of these each takes.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from fastapi.security import APIKeyCookie, APIKeyHeader, APIKeyQuery, HTTPBearer
from fastapi.security.base import SecurityBase

SCREEN_COOKIE: Final = "duckycart_screen"

CART: Final = APIKeyHeader(
    scheme_name="cart",
    name="X-API-Key",
    description="A cart's own key; `Authorization: Bearer` takes it too. It opens that cart and its sessions.",
)
SHOPPER: Final = HTTPBearer(
    scheme_name="shopper",
    bearerFormat="JWT",
    description="An access token from `/auth/login` or `/auth/guest`. It opens the shopper's own sessions.",
)
SCREEN: Final = HTTPBearer(
    scheme_name="screen",
    bearerFormat="JWT",
    description="A screen's token from `/sse/{cart_id}`. It opens one session until its end, and 15 minutes longer "
    "when that was paid.",
)
CART_SCREEN: Final = APIKeyCookie(
    scheme_name="cart-screen",
    name=SCREEN_COOKIE,
    description="What a screen got for its key at `/screen/{cart_id}`. It opens that cart's QR and stream.",
)
OPERATOR: Final = HTTPBearer(
    scheme_name="operator",
    bearerFormat="JWT",
    description="An access token of an account that is an operator's.",
)
TOKEN_IN_URL: Final = APIKeyQuery(
    scheme_name="token",
    name="token",
    description="A shopper's, screen's or operator's token in the URL: browsers set no header on streams.",
)

Dependency = TypeVar("Dependency", bound=Callable[..., Any])
OPENED_BY: Final[dict[Callable[..., Any], tuple[SecurityBase, ...]]] = {}


def opened_by(*schemes: SecurityBase) -> Callable[[Dependency], Dependency]:
    """Declares which credentials a dependency takes; each is enough."""

    def declare(dependency: Dependency) -> Dependency:
        OPENED_BY[dependency] = schemes
        return dependency

    return declare
