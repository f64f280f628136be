"""Reads the credential of a request: 401 for a missing, malformed or expired one, 403 for one without the right."""

import re
from hashlib import sha256
from typing import Annotated, Any, Final, cast

from fastapi import Depends, Path, Request
from sqlalchemy import Connection, select

from duckycart.addresses import client_address
from duckycart.api.inputs import IdText
from duckycart.errors import Forbidden, Unauthenticated
from duckycart.house import House
from duckycart.lifecycle.who import ByCart, ByOperator, ByShopper, Who
from duckycart.store.tables import carts

MAX_ID: Final = 999_999_999
Id = Annotated[IdText, Path(ge=1, le=MAX_ID)]
_KEY: Final = re.compile(r"[A-Za-z0-9_-]{32,200}")  # 256 random bits as text


def house(request: Request) -> House:
    return cast(House, request.app.state.house)


async def _house(request: Request) -> House:
    return house(request)  # async, because FastAPI gives what is not a thread


HouseOf = Annotated[House, Depends(_house)]


def address(request: Request) -> str:
    """The client's address, for rate limits; behind trusted proxies the one they name."""
    peer = request.client.host if request.client else None
    forwarded = ",".join(request.headers.getlist("x-forwarded-for")) or None
    return str(client_address(peer, forwarded, house(request).settings.trusted_proxies))


async def who(request: Request) -> Who:
    """Whoever this is: a cart by its key, a shopper or operator by an access token.

    Raises Unauthenticated without a credential or with a bad one; Forbidden for a key that opens no cart.
    """
    key = request.headers.get("x-api-key") or None
    bearer = _bearer(request)
    if key is None and bearer is not None and _KEY.fullmatch(bearer):
        key = bearer  # the form of a cart's key; a token has dots
    if key is not None:
        return await _by_key(house(request), key)
    if bearer is None:
        raise Unauthenticated("no_credential", "This call needs a credential: a cart's key or an access token.")
    token = house(request).tokens.read_access(bearer)
    return ByOperator(token.user_id) if token.is_operator else ByShopper(token.user_id)


def _bearer(request: Request) -> str | None:
    scheme, _, credential = request.headers.get("authorization", "").partition(" ")
    return credential.strip() or None if scheme.lower() == "bearer" else None


async def _by_key(house: House, key: str) -> ByCart:
    key_hash = sha256(key.encode()).digest()

    def look(connection: Connection) -> Any:
        return connection.execute(
            select(carts.c.id, carts.c.disabled).where(carts.c.key_hash == key_hash)
        ).one_or_none()

    row = await house.store.read(look)
    if row is None or row.disabled:
        raise Forbidden("wrong_key", "Unknown or disabled cart, or wrong key.")
    return ByCart(row.id)


Anyone = Annotated[Who, Depends(who)]


async def cart(caller: Anyone) -> ByCart:
    if not isinstance(caller, ByCart):
        raise Forbidden("carts_only", "Only a cart may do this, with its own key.")
    return caller


async def shopper(caller: Anyone) -> ByShopper:
    if not isinstance(caller, ByShopper):
        raise Forbidden("shoppers_only", "Only a shopper may do this, with an access token.")
    return caller


TheCart = Annotated[ByCart, Depends(cart)]
TheShopper = Annotated[ByShopper, Depends(shopper)]


def require_cart(caller: Who, cart_id: int) -> None:
    """The cart itself or an operator. Raises Forbidden."""
    if isinstance(caller, ByOperator) or caller == ByCart(cart_id):
        return
    raise Forbidden("another_cart", "This credential does not open that cart.")
