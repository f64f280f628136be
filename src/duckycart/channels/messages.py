"""The messages of screens and phones, and their one form in JSON. Names and shapes are what fielded ones read."""

from typing import Final, Literal

from pydantic import BaseModel, Field

from duckycart.lifecycle.news import News, NewsKind


class CartUpdated(BaseModel):
    """The basket, or the session itself, is to be looked at again."""

    type: Literal["cart-updated"] = "cart-updated"
    data: int = Field(description="the product's barcode, 0 when it is not about one")


class ItemRead(BaseModel):
    type: Literal["item-read"] = "item-read"
    data: int = Field(description="the product's barcode")


class WeightIncreased(BaseModel):
    type: Literal["weight increased"] = "weight increased"
    data: Literal[0]


class WeightDecreased(BaseModel):
    type: Literal["weight decreased"] = "weight decreased"
    data: Literal[0]


class PaymentCreated(BaseModel):
    type: Literal["Payment created"] = "Payment created"
    data: Literal[0]


class PaymentSuccessful(BaseModel):
    type: Literal["Payment successful"] = "Payment successful"
    data: Literal[0]


class Failure(BaseModel):
    message: str = Field(description="a sentence for the shopper")


class PaymentFailed(BaseModel):
    """An attempt was declined, and the payment can be tried again; or it was cancelled, and another can be created."""

    type: Literal["payment-failed"] = "payment-failed"
    data: Failure


class PaymentRetrying(BaseModel):
    type: Literal["payment-retrying"] = "payment-retrying"
    data: Literal[0]


class SessionStarted(BaseModel):
    """To those who listen to a cart."""

    session_id: int
    token: str = Field(description="opens this session for a screen, until 15 minutes after its end")
    event_type: Literal["session-started"] = "session-started"


MESSAGES: Final[dict[NewsKind, type[BaseModel]]] = {
    NewsKind.CART_UPDATED: CartUpdated,
    NewsKind.ITEM_READ: ItemRead,
    NewsKind.WEIGHT_INCREASED: WeightIncreased,
    NewsKind.WEIGHT_DECREASED: WeightDecreased,
    NewsKind.PAYMENT_CREATED: PaymentCreated,
    NewsKind.PAYMENT_SUCCESSFUL: PaymentSuccessful,
    NewsKind.PAYMENT_FAILED: PaymentFailed,
    NewsKind.PAYMENT_RETRYING: PaymentRetrying,
}


def encode(news: News) -> str:
    """What the listeners of a session read."""
    return MESSAGES[news.kind].model_validate({"data": news.data}).model_dump_json()


def encode_start(news: News, token: str) -> str:
    """What the listeners of a cart read: its new session, with a screen's token for it."""
    return SessionStarted(session_id=news.session_id, token=token).model_dump_json()
