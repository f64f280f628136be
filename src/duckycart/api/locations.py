"""A cart says in which aisle it is."""

from typing import Annotated

from fastapi import Request
from pydantic import BaseModel, Field

from duckycart.api.inputs import WHOLE, SessionId
from duckycart.api.openapi import ONCE, refuses
from duckycart.api.resource import resource_router
from duckycart.api.who import TheCart
from duckycart.api.writes import write
from duckycart.clock import iso
from duckycart.lifecycle.reports import Location, locate
from duckycart.refusals import SESSION_OVER, UNKNOWN_SESSION, WRITE_FAILS
from duckycart.wire import MAX_ID

router = resource_router(prefix="/session-location", tags=["carts"])


class Aisle(BaseModel):
    aisle_id: Annotated[int, Field(ge=0, le=MAX_ID, examples=[4]), WHOLE]


class LocationView(BaseModel):
    session_id: int = Field(examples=[7])
    aisle_id: int = Field(examples=[4])
    created_at: str = Field(examples=["2026-09-21T14:13:20.000Z"])
    updated_at: str = Field(examples=["2026-09-21T14:15:00.000Z"])


@router.put("/{session_id}", openapi_extra=ONCE)
@refuses(UNKNOWN_SESSION, SESSION_OVER, *WRITE_FAILS)
async def move(request: Request, caller: TheCart, session_id: SessionId, aisle: Aisle) -> LocationView:
    """Say in which aisle the cart is now. Repeating it is fine."""
    there = await write(request, caller, Location, lambda tx: locate(tx, caller, session_id, aisle.aisle_id))
    return LocationView(
        session_id=session_id,
        aisle_id=there.aisle_id,
        created_at=iso(there.created_at),
        updated_at=iso(there.updated_at),
    )
