"""Transitions need some of the shop's own choices, which are one value here. Seconds, unless said otherwise."""

from dataclasses import dataclass

from duckycart.currency import Currency


@dataclass(frozen=True, slots=True)
class Rules:
    currency: Currency | None = None  # that this server was told; None for whatever the database has
    qr_seconds: int = 300  # how long a QR can be scanned
    offline_seconds: int = 60  # a cart away for longer starts no session
    refuse_offline: bool = True
    idle_seconds: int = 900  # without a sign of life: an empty session ends, a full one is reported
    payment_seconds: int = 1800  # an open payment older than this is cancelled at the provider
    basket_lines: int = 500  # different products in one basket
    line_quantity: int = 999
