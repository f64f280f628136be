"""A shopper joins a cart by its QR, reads the session and ends it."""

from typing import Literal

from fastapi import Request, Response
from pydantic import BaseModel, Field

from duckycart.api.inputs import JWT, SessionId
from duckycart.api.openapi import ONCE_AND_PREFER, refuses
from duckycart.api.resource import resource_router
from duckycart.api.views import Answer, SessionJson, session_json
from duckycart.api.who import TheShop, TheShopper, WithCredential, address
from duckycart.api.writes import tell_delivery, write
from duckycart.lifecycle.access import find_session
from duckycart.lifecycle.sessions import Ended, Started, create_session, end_session
from duckycart.lifecycle.transitions import Event, refusals_of
from duckycart.refusals import (
    BASKET_NOT_EMPTY,
    CART_UNFIT,
    GUEST_ELSEWHERE,
    NOT_A_QR,
    QR_EXPIRED,
    QR_VOID,
    SHOPPER_HAS_SESSION,
    TOO_MANY_REQUESTS,
    UNKNOWN_CART,
    UNKNOWN_SESSION,
    USER_INACTIVE,
    WRITE_FAILS,
)

router = resource_router(prefix="/customer-session", tags=["shoppers"])


class Scan(BaseModel):
    token: str = Field(max_length=2000, examples=[JWT], description="the QR's token, or the URL that its picture holds")


class EndedView(Answer):
    session_id: int = Field(examples=[7])
    cart_id: int = Field(examples=[1])
    is_active: Literal[False]
    message: str = "The session is over."


@router.post("/scan-qr", openapi_extra=ONCE_AND_PREFER)
@refuses(
    NOT_A_QR,
    UNKNOWN_CART,
    QR_VOID,
    QR_EXPIRED,
    *refusals_of(Event.CREATE_SESSION),
    *CART_UNFIT,
    SHOPPER_HAS_SESSION,
    USER_INACTIVE,
    GUEST_ELSEWHERE,
    TOO_MANY_REQUESTS,
    *WRITE_FAILS,
)
async def scan_qr(request: Request, response: Response, shop: TheShop, caller: TheShopper, scan: Scan) -> SessionJson:
    """Join the cart of a QR: its session starts. The same shopper repeating it gets the same session."""
    shop.addresses.take(address(request))
    shop.scans.take(str(caller.user_id))
    token = shop.tokens.read_qr(scan.token)
    started = await write(
        request,
        caller,
        Started,
        lambda tx: create_session(tx, token.cart_id, token.round, token.expires_at, caller.user_id, shop.rules),
    )
    await tell_delivery(request, response, started.session.cart_id, started.seq)
    return SessionJson.model_construct(**session_json(started.session))


@router.post("/{session_id}/end", openapi_extra=ONCE_AND_PREFER)
@refuses(UNKNOWN_SESSION, *refusals_of(Event.END_BY_SHOPPER), BASKET_NOT_EMPTY, *WRITE_FAILS)
async def end(
    request: Request, response: Response, shop: TheShop, caller: TheShopper, session_id: SessionId
) -> EndedView:
    """End an own session. Its basket must be empty, and it must have no payment; else 409 with the reason."""
    ended = await write(request, caller, Ended, lambda tx: end_session(tx, caller, session_id, shop.rules))
    await tell_delivery(request, response, ended.cart_id, ended.seq)
    return EndedView(session_id=session_id, cart_id=ended.cart_id, is_active=False)


@router.get("/{session_id}")
@refuses(UNKNOWN_SESSION)
async def read(shop: TheShop, caller: WithCredential, session_id: SessionId) -> SessionJson:
    """Read a session. 404 for one that is not the caller's to know of."""
    found = await shop.store.look_up(lambda connection: find_session(connection, caller, session_id))
    return SessionJson.model_construct(**session_json(found))
