"""Where a session's cart is."""

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from duckycart.api.errors import PROBLEMS
from duckycart.api.inputs import Whole
from duckycart.api.who import MAX_ID, Id, TheCart
from duckycart.api.writes import write
from duckycart.clock import iso
from duckycart.lifecycle.reports import Location, locate

router = APIRouter(prefix="/session-location", tags=["carts"], responses=PROBLEMS)


class Aisle(BaseModel):
    aisle_id: Annotated[Whole, Field(ge=0, le=MAX_ID)]


class LocationView(BaseModel):
    session_id: int
    aisle_id: int
    created_at: str
    updated_at: str


@router.put("/{session_id}")
async def move(request: Request, caller: TheCart, session_id: Id, aisle: Aisle) -> LocationView:
    """The cart is in this aisle now; repeating it is fine."""
    there = await write(request, caller, Location, lambda tx: locate(tx, caller, session_id, aisle.aisle_id))
    return LocationView(
        session_id=session_id,
        aisle_id=there.aisle_id,
        created_at=iso(there.created_at),
        updated_at=iso(there.updated_at),
    )
