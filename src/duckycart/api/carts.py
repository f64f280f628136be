"""A cart, or its screen, asks for its QR, its session and its status."""

from typing import Any

from fastapi import Depends, Request, Response
from fastapi.responses import JSONResponse

from duckycart.api.inputs import JWT, CartId
from duckycart.api.methods import get_only
from duckycart.api.openapi import PREFER, refuses
from duckycart.api.picture import PICTURES, picture
from duckycart.api.resource import resource_router
from duckycart.api.screens import give_cookie
from duckycart.api.views import SessionJson, StatusView, session_json
from duckycart.api.who import TheScreen, TheShop, WithCredential, limit_legacy, require_cart
from duckycart.api.writes import tell_delivery
from duckycart.lifecycle.access import ByCartScreen, ByLegacyScreen
from duckycart.lifecycle.qr import get_qr
from duckycart.lifecycle.sessions import active_session, cart_status
from duckycart.lifecycle.transitions import Event, refusals_of
from duckycart.refusals import CART_UNFIT, NO_ACTIVE_SESSION, TOO_MANY_REQUESTS, UNKNOWN_CART, WRITE_FAILS
from duckycart.tokens import QrToken

router = resource_router(prefix="/customer-session", tags=["carts"])

_QR_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A JSON string: the QR's token, a JWT. As a picture, the URL that the token completes.",
        "content": {
            "application/json": {"schema": {"type": "string", "examples": [JWT]}},
            **PICTURES,
        },
        "headers": {
            "Link": {
                "description": "The URL that the picture holds.",
                "schema": {"type": "string"},
                "example": f'<https://shop.example/s/{JWT}>; rel="alternate"',
            },
            "Qr-Seconds": {
                "description": "For how long it can be scanned.",
                "schema": {"type": "integer"},
                "example": 300,
            },
        },
    }
}


@router.get("/qr/{cart_id}", responses=_QR_ANSWERS, openapi_extra=PREFER, dependencies=[Depends(get_only)])
@refuses(UNKNOWN_CART, *refusals_of(Event.GET_QR), *CART_UNFIT, TOO_MANY_REQUESTS, *WRITE_FAILS)
async def qr(request: Request, shop: TheShop, caller: TheScreen, cart_id: CartId) -> Response:
    """Make a QR for the cart. Sends `generate_qr` first. `Accept` chooses between the token and a picture.

    Calls of screens that show no credential (`DUCKYCART_LEGACY_SCREENS`) are counted; 429 is for them.
    """
    require_cart(caller, cart_id)
    limit_legacy(shop, caller, f"cart {cart_id}")
    legacy = isinstance(caller, ByLegacyScreen)
    queued = await shop.store.write(lambda tx: get_qr(tx, cart_id, shop.rules, even_in_use=legacy))
    token = shop.tokens.qr(QrToken(queued.cart_id, queued.round, queued.expires_at))
    url = f"{shop.settings.url}/s/{token}"
    response = await picture(request, url) or JSONResponse(token)
    response.headers["Cache-Control"] = "no-store"
    response.headers["Link"] = f'<{url}>; rel="alternate"'
    response.headers["Vary"] = "Accept"
    response.headers["Qr-Seconds"] = str(shop.rules.qr_seconds)
    if isinstance(caller, ByCartScreen):
        give_cookie(shop, response, caller)  # anew, so that a screen in use never needs its key again
    await tell_delivery(request, response, cart_id, queued.seq)
    return response


@router.get("/cart/{cart_id}")
@refuses(NO_ACTIVE_SESSION)
async def read_session(shop: TheShop, caller: WithCredential, cart_id: CartId) -> SessionJson:
    """Read the cart's active session. 404 when there is none."""
    require_cart(caller, cart_id)
    session = await shop.store.look_up(lambda connection: active_session(connection, cart_id))
    return SessionJson.model_construct(**session_json(session))


@router.get("/cart-status/{cart_id}")
@refuses(UNKNOWN_CART)
async def read_status(shop: TheShop, caller: WithCredential, cart_id: CartId) -> StatusView:
    """Read the cart's status. It is available, in_use or out_of_service, with the active session if there is one."""
    require_cart(caller, cart_id)
    status = await shop.store.look_up(lambda connection: cart_status(connection, cart_id))
    return StatusView.model_construct(**status)
