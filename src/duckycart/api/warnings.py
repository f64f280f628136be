"""What a cart warns of, and its call to its screen to look again."""

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from duckycart.api.errors import PROBLEMS
from duckycart.api.inputs import ONE_LINE, Whole
from duckycart.api.items import Barcode
from duckycart.api.who import MAX_ID, HouseOf, TheCart
from duckycart.api.writes import write
from duckycart.clock import iso
from duckycart.lifecycle.reports import FraudWarning, notify_cart_update, warn

router = APIRouter(prefix="/fraud-warnings", tags=["carts"], responses=PROBLEMS)

SessionId = Annotated[Whole, Field(ge=1, le=MAX_ID)]


class NewWarning(BaseModel):
    session_id: SessionId
    type_of_warning: str = Field(
        min_length=1,
        max_length=200,
        pattern=ONE_LINE,
        description="`weight increased`, `weight decreased`, or a notice in free text",
    )


class WarningView(BaseModel):
    id: int
    session_id: int
    type_of_warning: str
    created_at: str


class Notice(BaseModel):
    session_id: SessionId
    barcode: Barcode  # 0: of no product in particular


class Notified(BaseModel):
    message: str


@router.post("/")
async def warning(request: Request, house: HouseOf, caller: TheCart, said: NewWarning) -> WarningView:
    """The screen hears of a weight change; once a payment exists, so does an operator."""
    kept = await write(
        request, caller, FraudWarning, lambda tx: warn(tx, caller, said.session_id, said.type_of_warning)
    )
    return WarningView(
        id=kept.id,
        session_id=kept.session_id,
        type_of_warning=kept.type_of_warning,
        created_at=iso(kept.created_at),
    )


@router.post("/notify-cart-update")
async def notify(request: Request, house: HouseOf, caller: TheCart, said: Notice) -> Notified:
    await write(request, caller, None, lambda tx: notify_cart_update(tx, caller, said.session_id, said.barcode))
    return Notified(message="The screen was told.")
