"""Payments: created by the shopper, settled by the provider's webhook."""

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from duckycart.api.errors import PROBLEMS
from duckycart.api.inputs import ONE_LINE
from duckycart.api.views import PaymentView, payment_view
from duckycart.api.who import Anyone, HouseOf, Id
from duckycart.api.writes import keep, recall, tell_delivery
from duckycart.errors import NotFound
from duckycart.lifecycle.payments import Opened, Payment, read_payment

router = APIRouter(prefix="/payment", tags=["shoppers"], responses=PROBLEMS)


class PaymentRequest(BaseModel):
    payment_method: str | None = Field(None, max_length=40, pattern=ONE_LINE)


class PaymentState(BaseModel):
    payment_id: int
    payment_url: str | None
    status: str


@router.post("/create-payment/{session_id}")
async def create(
    request: Request,
    response: Response,
    house: HouseOf,
    caller: Anyone,
    session_id: Id,
    wanted: PaymentRequest | None = None,
) -> PaymentView:
    """A payment of the basket. Repeating it while one is open gives the same one and sends nothing new."""
    created: Opened | Payment | None = await recall(request, caller, Opened | Payment)
    if created is None:
        created = await house.checkout.create(caller, session_id, wanted.payment_method if wanted else None)
        await keep(request, caller, Opened | Payment, created)
    if isinstance(created, Opened):
        await tell_delivery(request, response, created.cart_id, created.seq)
        created = created.payment
    return payment_view(house, created)


@router.get("/get-payment/{session_id}")
async def get(house: HouseOf, caller: Anyone, session_id: Id) -> PaymentState:
    payment = await house.store.read(lambda connection: read_payment(connection, caller, session_id))
    return PaymentState.model_construct(payment_id=payment.id, payment_url=payment.url, status=payment.state)


@router.post("/webhook/{provider}", tags=["providers"])
async def webhook(request: Request, house: HouseOf, provider: str) -> dict[str, str]:
    """What the provider has to say, signed. 400 for a wrong signature; 200 once it is stored, whatever it says."""
    if provider != house.checkout.provider.name:
        raise NotFound("unknown_provider", "This payment provider is not in use here.")
    body = await request.body()
    headers = {name.lower(): value for name, value in request.headers.items()}
    return {"outcome": await house.checkout.record(headers, body)}
