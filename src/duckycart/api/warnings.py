"""A cart warns of something, or asks its screen to look again."""

from fastapi import Request
from pydantic import BaseModel, Field

from duckycart.api.inputs import ONE_LINE, Barcode, SessionInBody
from duckycart.api.openapi import ONCE, refuses
from duckycart.api.resource import resource_router
from duckycart.api.views import Answer
from duckycart.api.who import TheCart, TheShop
from duckycart.api.writes import write
from duckycart.clock import iso
from duckycart.lifecycle.reports import FraudWarning, notify_cart_update, warn
from duckycart.refusals import SESSION_OVER, UNKNOWN_SESSION, WRITE_FAILS

router = resource_router(prefix="/fraud-warnings", tags=["carts"])


class NewWarning(BaseModel):
    session_id: SessionInBody
    type_of_warning: str = Field(
        min_length=1,
        max_length=200,
        pattern=ONE_LINE,
        examples=["weight increased"],
        description="`weight increased`, `weight decreased`, or a notice in free text",
    )


class WarningView(BaseModel):
    id: int = Field(examples=[3])
    session_id: int = Field(examples=[7])
    type_of_warning: str = Field(examples=["weight increased"])
    created_at: str = Field(examples=["2026-09-21T14:13:20.000Z"])


class Notice(BaseModel):
    session_id: SessionInBody
    barcode: Barcode  # 0: of no product in particular


class Notified(Answer):
    message: str = "The screen was told."


@router.post("/", openapi_extra=ONCE)
@refuses(UNKNOWN_SESSION, SESSION_OVER, *WRITE_FAILS)
async def add(request: Request, shop: TheShop, caller: TheCart, body: NewWarning) -> WarningView:
    """Warn of something, or leave a notice.

    The screen hears of a weight change; once a payment exists, so does an operator.
    """
    kept = await write(
        request, caller, FraudWarning, lambda tx: warn(tx, caller, body.session_id, body.type_of_warning)
    )
    return WarningView(
        id=kept.id,
        session_id=kept.session_id,
        type_of_warning=kept.type_of_warning,
        created_at=iso(kept.created_at),
    )


@router.post("/notify-cart-update", openapi_extra=ONCE)
@refuses(UNKNOWN_SESSION, SESSION_OVER, *WRITE_FAILS)
async def notify(request: Request, shop: TheShop, caller: TheCart, body: Notice) -> Notified:
    """Ask the screen to look at the basket again. Barcode 0 means no product in particular."""
    await write(request, caller, None, lambda tx: notify_cart_update(tx, caller, body.session_id, body.barcode))
    return Notified()
