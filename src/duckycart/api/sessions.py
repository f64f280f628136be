"""A session, from the shopper's side."""

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from duckycart.api.errors import PROBLEMS
from duckycart.api.views import SessionJson, session_json
from duckycart.api.who import Anyone, HouseOf, Id, TheShopper, address
from duckycart.api.writes import tell_delivery, write
from duckycart.lifecycle.sessions import Ended, Started, create_session, end_session
from duckycart.lifecycle.who import find_session

router = APIRouter(prefix="/customer-session", tags=["shoppers"], responses=PROBLEMS)


class Scan(BaseModel):
    token: str = Field(max_length=2000, description="the QR's token, or the URL that its picture holds")


class EndedView(BaseModel):
    session_id: int
    cart_id: int
    is_active: bool
    message: str


@router.post("/scan-qr")
async def scan_qr(request: Request, response: Response, house: HouseOf, caller: TheShopper, scan: Scan) -> SessionJson:
    """Join the cart: its session starts. The same shopper repeating it gets the same session (F38)."""
    house.addresses.take(address(request))
    house.scans.take(str(caller.user_id))
    token = house.tokens.read_qr(scan.token)
    started = await write(
        request,
        caller,
        Started,
        lambda tx: create_session(tx, token.cart_id, token.round, token.expires_at, caller.user_id, house.rules),
    )
    await tell_delivery(request, response, started.session.cart_id, started.seq)
    return SessionJson.model_construct(**session_json(started.session))


@router.post("/{session_id}/end")
async def end(request: Request, response: Response, house: HouseOf, caller: TheShopper, session_id: Id) -> EndedView:
    """End an own session whose basket is empty and that has no payment; else 409 with the reason."""
    ended = await write(request, caller, Ended, lambda tx: end_session(tx, caller, session_id, house.rules))
    await tell_delivery(request, response, ended.cart_id, ended.seq)
    return EndedView(session_id=session_id, cart_id=ended.cart_id, is_active=False, message="The session is over.")


@router.get("/{session_id}")
async def session(house: HouseOf, caller: Anyone, session_id: Id) -> SessionJson:
    found = await house.store.read(lambda connection: find_session(connection, caller, session_id))
    return SessionJson.model_construct(**session_json(found))
