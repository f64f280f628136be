"""Products, lines and sessions become JSON here. Names and quirks are those that fielded clients read."""

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from duckycart.clock import iso
from duckycart.lifecycle.access import SessionView
from duckycart.lifecycle.basket import Line, Product
from duckycart.lifecycle.payments import Payment
from duckycart.shop import Shop
from duckycart.store.states import PaymentState


class Answer(BaseModel):
    """An answer has all its fields, those with one possible value too."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)


class ProductView(BaseModel):
    item_no_: int = Field(examples=[5])
    description: str = Field(examples=["Milk"])
    description_ar: str = Field(examples=["حليب"])
    product_size: str = Field(examples=["1 l"])
    unit_price: float = Field(examples=[12.5], description="in major units")
    currency: str = Field(examples=["EGP"])
    currency_digits: int = Field(examples=[2], description="decimals of the currency (ISO 4217)")
    barcode: int = Field(examples=[6221000000012], description="without leading zeros, as carts send it")
    image_url: str | None = Field(examples=[None])


class LineView(BaseModel):
    session_id: int = Field(examples=[7])
    item_id: int = Field(examples=[5])
    quantity: int = Field(examples=[1])
    saved_weight: int = Field(examples=[1030], description="grams, of all units")
    product: ProductView


class SessionJson(BaseModel):
    session_id: int = Field(examples=[7])
    user_id: int = Field(examples=[3])
    cart_id: int = Field(examples=[1])
    is_active: bool = Field(examples=[True])
    created_at: str = Field(examples=["2026-09-21T14:13:20.000Z"])


class StatusView(BaseModel):
    cart_id: int = Field(examples=[1])
    status: str = Field(examples=["in_use"], json_schema_extra={"enum": ["available", "in_use", "out_of_service"]})
    has_active_session: bool = Field(examples=[True])
    session_id: int | None = Field(examples=[7])
    user_id: int | None = Field(examples=[3])


PAYMENT_URL: Final = "https://shop.example/pay/00112233445566778899aabbccddeeff"
PaymentStatus = Annotated[
    str, Field(examples=["open"], json_schema_extra={"enum": [state.value for state in PaymentState]})
]


class PaymentView(BaseModel):
    payment_id: int = Field(examples=[9])
    payment_url: str | None = Field(examples=[PAYMENT_URL])
    amount: float = Field(examples=[12.5], description="in major units")
    currency: str = Field(examples=["EGP"])
    currency_digits: int = Field(examples=[2], description="decimals of the currency (ISO 4217)")
    status: PaymentStatus


def product_view(shop: Shop, product: Product, unit_price: int | None = None) -> ProductView:
    currency = shop.currency
    return ProductView.model_construct(
        item_no_=product.id,
        description=product.description,
        description_ar=product.description_ar,
        product_size=product.product_size,
        unit_price=currency.major(product.unit_price if unit_price is None else unit_price),
        currency=currency.code,
        currency_digits=currency.digits,
        barcode=int(product.barcode_number),
        image_url=product.image_url,
    )


def line_view(shop: Shop, line: Line) -> LineView:
    return LineView.model_construct(
        session_id=line.session_id,
        item_id=line.product.id,
        quantity=line.quantity,
        saved_weight=line.saved_weight,
        product=product_view(shop, line.product, line.unit_price),
    )


def session_json(session: SessionView) -> dict[str, Any]:
    return {
        "session_id": session.id,
        "user_id": session.user_id,
        "cart_id": session.cart_id,
        "is_active": session.is_active,
        "created_at": iso(session.created_at),
    }


def payment_view(shop: Shop, payment: Payment) -> PaymentView:
    return PaymentView.model_construct(
        payment_id=payment.id,
        payment_url=payment.url,
        amount=shop.currency.major(payment.amount),
        currency=payment.currency,
        currency_digits=shop.currency.digits,
        status=payment.state,
    )
