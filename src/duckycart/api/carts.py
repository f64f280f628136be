"""What a cart asks of itself: its QR, its session, its status."""

from io import BytesIO
from typing import Any

import segno
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from duckycart.api.errors import PROBLEMS
from duckycart.api.tokens import QrToken
from duckycart.api.views import SessionJson, session_json
from duckycart.api.who import Anyone, HouseOf, Id, TheScreen, limit_legacy, require_cart
from duckycart.api.writes import tell_delivery
from duckycart.lifecycle.qr import get_qr
from duckycart.lifecycle.sessions import active_session, cart_status
from duckycart.lifecycle.who import ByLegacyScreen

router = APIRouter(prefix="/customer-session", tags=["carts"], responses=PROBLEMS)

_QR_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A JSON string: the QR's token, a JWT. As a picture, the URL that the token completes.",
        "content": {"application/json": {"schema": {"type": "string"}}, "image/svg+xml": {}, "image/png": {}},
    }
}


@router.get("/qr/{cart_id}", responses=_QR_ANSWERS)
async def qr(request: Request, house: HouseOf, caller: TheScreen, cart_id: Id) -> Response:
    """A QR for the cart. `generate_qr` is queued and committed before the QR exists (protocol document)."""
    require_cart(caller, cart_id)
    limit_legacy(house, caller, f"cart {cart_id}")
    legacy = isinstance(caller, ByLegacyScreen)
    queued = await house.store.write(lambda tx: get_qr(tx, cart_id, house.rules, even_in_use=legacy))
    token = house.tokens.qr(QrToken(queued.cart_id, queued.round, queued.expires_at))
    url = f"{house.settings.url}/s/{token}"
    response = _picture(request.headers.get("accept", ""), url) or JSONResponse(token)
    response.headers["Cache-Control"] = "no-store"
    response.headers["Link"] = f'<{url}>; rel="alternate"'
    response.headers["Vary"] = "Accept"
    await tell_delivery(request, response, cart_id, queued.seq)
    return response


def _picture(accept: str, url: str) -> Response | None:
    for media_type, kind in (("image/svg+xml", "svg"), ("image/png", "png")):
        if media_type in accept:
            out = BytesIO()
            segno.make(url, error="m").save(out, kind=kind, scale=8, border=4)
            return Response(out.getvalue(), media_type=media_type)
    return None


@router.get("/cart/{cart_id}")
async def session_of_cart(house: HouseOf, caller: Anyone, cart_id: Id) -> SessionJson:
    """The cart's active session; 404 when there is none."""
    require_cart(caller, cart_id)
    session = await house.store.read(lambda connection: active_session(connection, cart_id))
    return SessionJson.model_construct(**session_json(session))


@router.get("/cart-status/{cart_id}")
async def status_of_cart(house: HouseOf, caller: Anyone, cart_id: Id) -> dict[str, Any]:
    """available, in_use or out_of_service, with the active session if there is one."""
    require_cart(caller, cart_id)
    return await house.store.read(lambda connection: cart_status(connection, cart_id))
