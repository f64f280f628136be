"""A shopper creates a payment, and the provider's webhook settles it."""

from typing import Annotated, Any, Final

from fastapi import Path, Request, Response
from pydantic import BaseModel, Field

from duckycart.api.inputs import ONE_LINE, SessionId
from duckycart.api.openapi import ONCE_AND_PREFER, refuses
from duckycart.api.picture import PICTURES, picture
from duckycart.api.resource import resource_router
from duckycart.api.views import PAYMENT_URL, PaymentStatus, PaymentView, payment_view
from duckycart.api.who import TheShop, WithCredential
from duckycart.api.writes import keep, recall, tell_delivery
from duckycart.lifecycle.payments import Opened, Payment, read_payment
from duckycart.lifecycle.transitions import Event, refusals_of
from duckycart.refusals import (
    BASKET_EMPTY,
    NO_PAYMENT,
    NOT_THE_PROVIDERS,
    PAYMENT_NOT_KNOWN_YET,
    PROVIDER_FAILED,
    UNKNOWN_PROVIDER,
    UNKNOWN_SESSION,
    WRITE_FAILS,
)

router = resource_router(prefix="/payment", tags=["shoppers"])


class PaymentRequest(BaseModel):
    payment_method: str | None = Field(None, max_length=40, pattern=ONE_LINE, examples=["card"])


class PaymentState(BaseModel):
    payment_id: int = Field(examples=[9])
    payment_url: str | None = Field(examples=[PAYMENT_URL])
    status: PaymentStatus


class Recorded(BaseModel):
    outcome: str = Field(examples=["settled"], description="what became of it; for the provider's log")


_WEBHOOK: Final[dict[str, Any]] = {
    "parameters": [
        {
            "name": "Sandbox-Signature",
            "in": "header",
            "description": 'The sandbox\'s: `t=<seconds>,v1=<hex HMAC-SHA256 of "<t>.<body>">`.',
            "schema": {"type": "string"},
            "example": f"t=1790000000,v1={'0' * 64}",
        }
    ],
    "requestBody": {
        "required": True,
        "description": "What the provider sends, as it signed it; here the sandbox's.",
        "content": {
            "application/json": {
                "schema": {"type": "object"},
                "example": {
                    "id": "evt_00112233445566778899aabb",
                    "type": "payment.succeeded",
                    "payment": "00112233445566778899aabbccddeeff",
                    "amount": 1250,
                    "currency": "EGP",
                },
            }
        },
    },
}


@router.post("/create-payment/{session_id}", openapi_extra=ONCE_AND_PREFER)
@refuses(
    UNKNOWN_SESSION,
    *refusals_of(Event.BEGIN_PAYMENT),
    *refusals_of(Event.OPEN_PAYMENT),
    BASKET_EMPTY,
    PROVIDER_FAILED,
    *WRITE_FAILS,
)
async def create(
    request: Request,
    response: Response,
    shop: TheShop,
    caller: WithCredential,
    session_id: SessionId,
    wanted: PaymentRequest | None = None,
) -> PaymentView:
    """Create a payment of the basket. Repeating it while one is open gives the same one and sends nothing new."""
    created: Opened | Payment | None = await recall(request, caller, Opened | Payment)
    if created is None:
        created = await shop.checkout.create(caller, session_id, wanted.payment_method if wanted else None)
        await keep(request, caller, Opened | Payment, created)
    if isinstance(created, Opened):
        await tell_delivery(request, response, created.cart_id, created.seq)
        created = created.payment
    return payment_view(shop, created)


@router.get("/get-payment/{session_id}", responses={200: {"content": PICTURES}}, response_model=PaymentState)
@refuses(UNKNOWN_SESSION, NO_PAYMENT)
async def read(
    request: Request, shop: TheShop, caller: WithCredential, session_id: SessionId
) -> PaymentState | Response:
    """Read the session's newest payment. 404 when it has none yet.

    As a picture it is a QR of the payment's URL, to be paid by phone.
    """
    payment = await shop.store.look_up(lambda connection: read_payment(connection, caller, session_id))
    drawn = None if payment.url is None else await picture(request, payment.url)
    return drawn or PaymentState.model_construct(payment_id=payment.id, payment_url=payment.url, status=payment.state)


@router.post("/webhook/{provider}", tags=["providers"], openapi_extra=_WEBHOOK)
@refuses(UNKNOWN_PROVIDER, *NOT_THE_PROVIDERS, PAYMENT_NOT_KNOWN_YET, *WRITE_FAILS)
async def webhook(request: Request, shop: TheShop, provider: Annotated[str, Path(examples=["sandbox"])]) -> Recorded:
    """Hear what the payment provider has to say.

    400 for a wrong signature; 503 for a success that may be of a payment in the making: send it again. 200 once it is
    stored, whatever it says.
    """
    if provider != shop.checkout.provider.name:
        raise UNKNOWN_PROVIDER()
    body = await request.body()
    headers = {name.lower(): value for name, value in request.headers.items()}
    return Recorded.model_construct(outcome=await shop.checkout.record(headers, body))
