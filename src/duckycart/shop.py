"""A shop is what one running server is made of, as its parts see it. `app.py` puts it together."""

from dataclasses import dataclass
from typing import TypedDict

from duckycart.channels.channels import Channels
from duckycart.channels.openings import Openings
from duckycart.currency import Currency
from duckycart.guards.places import Places
from duckycart.guards.rate import RateLimit
from duckycart.hardware.connect import Connector
from duckycart.hardware.dispatch import Dispatch
from duckycart.hardware.sweep import Sweep
from duckycart.housekeeping import Housekeeping
from duckycart.lifecycle.rules import Rules
from duckycart.nodes.heartbeat import Heartbeat
from duckycart.passwords import Passwords
from duckycart.payments.checkout import Checkout
from duckycart.settings import Settings
from duckycart.store.currency import KnownCurrency
from duckycart.store.readiness import Readiness
from duckycart.store.steady import SteadyClock
from duckycart.store.transaction import Store
from duckycart.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Shop:
    """A shop as one of its servers has it open."""

    settings: Settings
    rules: Rules
    clock: SteadyClock
    store: Store
    readiness: Readiness
    prices: KnownCurrency
    connector: Connector
    dispatch: Dispatch
    channels: Channels
    openings: Openings
    places: Places
    checkout: Checkout
    tokens: Tokens
    passwords: Passwords
    sign_ins: RateLimit
    scans: RateLimit
    addresses: RateLimit
    legacy_screens: RateLimit
    wrong_codes: RateLimit
    sweep: Sweep
    housekeeping: Housekeeping
    heartbeat: Heartbeat | None  # None for the only server of a database

    @property
    def currency(self) -> Currency:
        """The currency of all prices of this shop."""
        return self.prices.now


class LifespanState(TypedDict):
    """What Starlette hands from the application's lifespan to each request and socket, and uvicorn to connections."""

    shop: Shop
