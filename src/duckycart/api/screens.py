"""A cart's screen comes with its key, once, and goes on with a cookie."""

import hmac
from typing import Final
from urllib.parse import urlsplit

from fastapi import Request, Response
from pydantic import BaseModel, Field

from duckycart.api.credentials import SCREEN_COOKIE
from duckycart.api.inputs import CartId
from duckycart.api.openapi import refuses
from duckycart.api.resource import resource_router
from duckycart.api.who import TheShop, address
from duckycart.keys import KEY_TEXT, MAX_KEY, hash_of
from duckycart.lifecycle.access import ByCartScreen
from duckycart.lifecycle.screens import name_of, screen_key
from duckycart.refusals import TOO_MANY_REQUESTS, WRONG_KEY
from duckycart.shop import Shop
from duckycart.tokens import CART_SCREEN_SECONDS, CartScreenToken

router = resource_router(prefix="/screen", tags=["screens"])

DOORS: Final = ("/customer-session/qr", "/sse")  # what the cookie opens, and so where a browser sends it


class ScreenKey(BaseModel):
    key: str = Field(
        max_length=MAX_KEY,
        pattern=KEY_TEXT,
        examples=["pLq3YzR1cVx8mTn0sWk5bHd7fGj2aUe9iOt4vXy6hZc"],
        description="as `carts screen-key` printed it",
    )


class ScreenView(BaseModel):
    cart_id: int = Field(examples=[1])


@router.post("/{cart_id}")
@refuses(WRONG_KEY, TOO_MANY_REQUESTS)
async def exchange(
    request: Request, response: Response, shop: TheShop, cart_id: CartId, given: ScreenKey
) -> ScreenView:
    """Exchange a screen's key for a cookie.

    The cookie opens the QR and the stream of this cart. An unknown cart is told the same as a wrong key.
    """
    shop.addresses.take(address(request))
    key_hash = await shop.store.read(lambda connection: screen_key(connection, cart_id))
    if key_hash is None or not hmac.compare_digest(key_hash, hash_of(given.key)):
        raise WRONG_KEY()
    give_cookie(shop, response, ByCartScreen(cart_id, name_of(key_hash)))
    response.headers["Cache-Control"] = "no-store"
    return ScreenView(cart_id=cart_id)


def give_cookie(shop: Shop, response: Response, screen: ByCartScreen) -> None:
    """Set the screen's cookie, good for CART_SCREEN_SECONDS from now, once for each of its doors."""
    token = shop.tokens.cart_screen(CartScreenToken(screen.cart_id, screen.key))
    url = urlsplit(shop.settings.url)
    for door in DOORS:
        response.set_cookie(
            SCREEN_COOKIE,
            token,
            max_age=CART_SCREEN_SECONDS,
            path=f"{url.path}{door}/{screen.cart_id}",
            secure=url.scheme == "https",
            httponly=True,
            samesite="strict",
        )
