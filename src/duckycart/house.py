"""What one running server is made of, as its parts see it. `app.py` puts it together."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from duckycart.currency import Currency
from duckycart.lifecycle.rules import Rules
from duckycart.settings import Settings
from duckycart.store.engine import Store
from duckycart.store.readiness import Readiness
from duckycart.store.steady import SteadyClock

if TYPE_CHECKING:
    from duckycart.channels.listeners import Channels
    from duckycart.channels.openings import Openings
    from duckycart.guards.places import Places
    from duckycart.guards.rate import RateLimit
    from duckycart.hardware.dispatch import Dispatch
    from duckycart.passwords import Passwords
    from duckycart.payments.checkout import Checkout
    from duckycart.store.currency import KnownCurrency
    from duckycart.tokens import Tokens


@dataclass(frozen=True, slots=True)
class House:
    settings: Settings
    rules: Rules
    clock: SteadyClock
    store: Store
    readiness: Readiness
    prices: "KnownCurrency"
    dispatch: "Dispatch"
    channels: "Channels"
    openings: "Openings"
    places: "Places"
    checkout: "Checkout"
    tokens: "Tokens"
    passwords: "Passwords"
    sign_ins: "RateLimit"
    scans: "RateLimit"
    addresses: "RateLimit"
    legacy_screens: "RateLimit"

    @property
    def currency(self) -> Currency:
        """What all prices of this shop are in."""
        return self.prices.now
