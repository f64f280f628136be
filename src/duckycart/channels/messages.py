"""Screens and phones read these messages, in one form of JSON. Names and shapes are what fielded ones read."""

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from duckycart.effects import News, NewsKind


class Message(BaseModel):
    """What is said has all its fields, those with one possible value too."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)


class CartUpdated(Message):
    """The basket, or the session itself, is to be looked at again."""

    type: Literal["cart-updated"] = "cart-updated"
    data: int = Field(description="the product's barcode, 0 when it is not about one")


class ItemRead(Message):
    """The cart's scanner saw a product; it is not in the basket yet."""

    type: Literal["item-read"] = "item-read"
    data: int = Field(description="the product's barcode")


class WeightIncreased(Message):
    """There is more in the cart than was scanned."""

    type: Literal["weight increased"] = "weight increased"
    data: Literal[0]


class WeightDecreased(Message):
    """There is less in the cart than was scanned."""

    type: Literal["weight decreased"] = "weight decreased"
    data: Literal[0]


class PaymentCreated(Message):
    """A payment is open; where it is paid is to be read with HTTP."""

    type: Literal["Payment created"] = "Payment created"
    data: Literal[0]


class PaymentSuccessful(Message):
    """Paid. The session is over, and this is its last message."""

    type: Literal["Payment successful"] = "Payment successful"
    data: Literal[0]


class Failure(Message):
    """Why a payment failed."""

    message: str = Field(description="a sentence for the shopper")


class PaymentFailed(Message):
    """An attempt was declined, and the payment can be tried again; or it was cancelled, and another can be created."""

    type: Literal["payment-failed"] = "payment-failed"
    data: Failure


class PaymentRetrying(Message):
    """Another payment is being created after one that was cancelled."""

    type: Literal["payment-retrying"] = "payment-retrying"
    data: Literal[0]


class SessionStarted(Message):
    """A session of the cart started, or had started when the listener came."""

    session_id: int
    token: str = Field(description="opens this session for a screen until its end, 15 minutes longer when it was paid")
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
    """Return news as the listeners of a session read it."""
    return MESSAGES[news.kind].model_validate({"data": news.data}).model_dump_json()


def encode_start(news: News, token: str) -> str:
    """Return a session's start as the listeners of its cart read it, with a screen's token for that session."""
    return SessionStarted(session_id=news.session_id, token=token).model_dump_json()


_EXAMPLES: Final[dict[NewsKind, int | dict[str, str]]] = {  # of what is not about 0
    NewsKind.CART_UPDATED: 6221000000012,
    NewsKind.ITEM_READ: 6221000000012,
    NewsKind.PAYMENT_FAILED: {"message": "The payment was declined; please try again."},
}


def example(kind: NewsKind) -> str:
    """Return a message of this kind, for the documents: session 7 of cart 1."""
    news = News(kind, cart_id=1, session_id=7, version=1, data=_EXAMPLES.get(kind, 0))
    return encode_start(news, "header.claims.signature") if kind is NewsKind.SESSION_STARTED else encode(news)
