"""Products and the basket. Fielded carts send `sessionID`, integer barcodes, and a body with DELETE."""

from typing import Annotated

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, ConfigDict, Field

from duckycart.api.errors import PROBLEMS
from duckycart.api.inputs import Whole
from duckycart.api.views import LineView, ProductView, line_view, major, product_view
from duckycart.api.who import MAX_ID, Anyone, HouseOf, Id, TheCart
from duckycart.api.writes import write
from duckycart.lifecycle.basket import (
    Line,
    acknowledge_call,
    add_item,
    find_product,
    read_basket,
    read_item,
    remove_item,
)

router = APIRouter(tags=["carts"], responses=PROBLEMS)

MAX_BARCODE = 10**40 - 1
Barcode = Annotated[Whole, Field(ge=0, le=MAX_BARCODE, description="leading zeros do not count")]


class ItemOfSession(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    session_id: Whole = Field(alias="sessionID", ge=1, le=MAX_ID)
    barcode: Barcode


class NewItem(ItemOfSession):
    weight: Whole | None = Field(None, ge=0, le=1_000_000, description="grams")


class Removed(BaseModel):
    message: str
    item: LineView | None


class Basket(BaseModel):
    items: list[LineView]
    total_price: float
    item_count: int


@router.post("/items/read")
async def read(request: Request, house: HouseOf, caller: TheCart, item: ItemOfSession) -> ProductView:
    """What the cart's scanner saw. Naming its session, the cart has received that session's `session_started`."""
    scanned = await house.store.read(lambda connection: read_item(connection, caller, item.session_id, item.barcode))
    if scanned.unacknowledged:
        await house.store.write(lambda tx: acknowledge_call(tx, caller, item.session_id))
    house.channels.tell(scanned.news)
    return product_view(house, scanned.product)


@router.get("/items/read/{barcode}", tags=["shoppers"])
async def look_up(house: HouseOf, caller: Anyone, barcode: Annotated[Whole, Path(ge=0, le=MAX_BARCODE)]) -> ProductView:
    return product_view(house, await house.store.read(lambda connection: find_product(connection, barcode)))


@router.post("/cart-items/add")
async def add(request: Request, house: HouseOf, caller: TheCart, item: NewItem) -> LineView:
    """One more unit; 409 once a payment exists."""
    line = await write(
        request,
        caller,
        Line,
        lambda tx: add_item(tx, caller, item.session_id, item.barcode, item.weight, house.rules),
    )
    return line_view(house, line)


@router.delete("/cart-items/remove")
async def remove(request: Request, house: HouseOf, caller: TheCart, item: ItemOfSession) -> Removed:
    """One unit less; `item` is null when that was the last."""
    line = await write(request, caller, Line | None, lambda tx: remove_item(tx, caller, item.session_id, item.barcode))
    return Removed.model_construct(message="Item removed.", item=None if line is None else line_view(house, line))


@router.get("/cart-items/session/{session_id}", tags=["shoppers"])
async def basket(house: HouseOf, caller: Anyone, session_id: Id) -> Basket:
    lines = await house.store.read(lambda connection: read_basket(connection, caller, session_id))
    return Basket.model_construct(
        items=[line_view(house, line) for line in lines],
        total_price=major(house, sum(line.quantity * line.unit_price for line in lines)),
        item_count=sum(line.quantity for line in lines),
    )
