"""Carts read products and fill baskets. Fielded carts send `sessionID`, integer barcodes, and a body with DELETE."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import structlog
from fastapi import Path, Request
from pydantic import BaseModel, ConfigDict, Field

from duckycart.api.inputs import WHOLE, Barcode, SessionId, SessionInBody
from duckycart.api.openapi import ONCE, refuses
from duckycart.api.resource import resource_router
from duckycart.api.views import Answer, LineView, ProductView, line_view, product_view
from duckycart.api.who import TheCart, TheShop, WithCredential
from duckycart.api.writes import write
from duckycart.errors import DuckyCartError
from duckycart.lifecycle.access import ByCart
from duckycart.lifecycle.basket import (
    Line,
    add_item,
    find_product,
    read_basket,
    read_item,
    remove_item,
)
from duckycart.lifecycle.disagreements import DISAGREE, note_disagreement
from duckycart.lifecycle.transitions import Event, refusals_of
from duckycart.refusals import (
    BASKET_FULL,
    LINE_FULL,
    NOT_IN_BASKET,
    SESSION_OVER,
    UNKNOWN_PRODUCT,
    UNKNOWN_SESSION,
    WRITE_FAILS,
)
from duckycart.shop import Shop

log = structlog.get_logger()
router = resource_router(tags=["carts"])

Grams = Annotated[int, Field(ge=0, le=1_000_000), WHOLE]


class ItemOfSession(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    session_id: SessionInBody = Field(alias="sessionID")
    barcode: Barcode


class NewItem(ItemOfSession):
    weight: Grams | None = Field(None, examples=[1030], description="in grams; else the product's own counts")


class Removed(Answer):
    message: str = "Item removed."
    item: LineView | None


class Basket(BaseModel):
    items: list[LineView]
    total_price: float = Field(examples=[12.5], description="in major units")
    item_count: int = Field(examples=[1])


@router.post("/items/read")
@refuses(UNKNOWN_SESSION, UNKNOWN_PRODUCT, SESSION_OVER)
async def read(request: Request, shop: TheShop, caller: TheCart, item: ItemOfSession) -> ProductView:
    """Say what the cart's scanner saw, and get the product."""
    scanned = await shop.store.look_up(lambda connection: read_item(connection, caller, item.session_id, item.barcode))
    shop.channels.tell(scanned.news)
    return product_view(shop, scanned.product)


@router.get("/items/read/{barcode}", tags=["shoppers"])
@refuses(UNKNOWN_PRODUCT)
async def look_up(shop: TheShop, caller: WithCredential, barcode: Annotated[Barcode, Path()]) -> ProductView:
    """Read a product. 404 when no product has this barcode."""
    return product_view(shop, await shop.store.look_up(lambda connection: find_product(connection, barcode)))


@router.post("/cart-items/add", openapi_extra=ONCE)
@refuses(UNKNOWN_SESSION, UNKNOWN_PRODUCT, *refusals_of(Event.CHANGE_BASKET), LINE_FULL, BASKET_FULL, *WRITE_FAILS)
async def add(request: Request, shop: TheShop, caller: TheCart, item: NewItem) -> LineView:
    """Put one more unit into the basket. 409 once a payment exists."""
    async with _refusal_noted(shop, caller, item, "added"):
        line = await write(
            request,
            caller,
            Line,
            lambda tx: add_item(tx, caller, item.session_id, item.barcode, item.weight, shop.rules),
        )
    return line_view(shop, line)


@router.delete("/cart-items/remove", openapi_extra=ONCE)
@refuses(UNKNOWN_SESSION, UNKNOWN_PRODUCT, NOT_IN_BASKET, *refusals_of(Event.CHANGE_BASKET), *WRITE_FAILS)
async def remove(request: Request, shop: TheShop, caller: TheCart, item: ItemOfSession) -> Removed:
    """Take one unit out of the basket. `item` is what is left of its line, null when that was the last unit."""
    async with _refusal_noted(shop, caller, item, "took out"):
        line = await write(
            request, caller, Line | None, lambda tx: remove_item(tx, caller, item.session_id, item.barcode)
        )
    return Removed.model_construct(item=None if line is None else line_view(shop, line))


@router.get("/cart-items/session/{session_id}", tags=["shoppers"])
@refuses(UNKNOWN_SESSION)
async def basket(shop: TheShop, caller: WithCredential, session_id: SessionId) -> Basket:
    """Read the basket. The oldest line comes first; an empty basket is an empty list."""
    lines = await shop.store.read(lambda connection: read_basket(connection, caller, session_id))
    return Basket.model_construct(
        items=[line_view(shop, line) for line in lines],
        total_price=shop.currency.major(sum(line.quantity * line.unit_price for line in lines)),
        item_count=sum(line.quantity for line in lines),
    )


@asynccontextmanager
async def _refusal_noted(shop: Shop, cart: ByCart, item: ItemOfSession, did: str) -> AsyncIterator[None]:
    """Tell an operator what is refused, in a transaction of its own: the cart did it already."""
    try:
        yield
    except DuckyCartError as refusal:
        if refusal.refusal in DISAGREE:
            why = refusal.detail
            try:
                await shop.store.write(lambda tx: note_disagreement(tx, cart, item.session_id, item.barcode, did, why))
            except DuckyCartError as error:
                log.warning("disagreement not written", cart=cart.cart_id, session=item.session_id, reason=error.code)
        raise
