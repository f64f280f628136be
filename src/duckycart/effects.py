"""Effects are what a committed transaction brings about, as values that ride in `Transaction.effects`.

Nobody hears of one before the commit returned; then `after_commit.py` hands each to whom it concerns.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from duckycart.wire import Command


@dataclass(frozen=True, slots=True)
class Queued:
    """A command row was committed. A hint: whoever misses it finds the row."""

    cart_id: int
    seq: int
    command: Command
    node: str | None  # who holds the cart's link, None while it is offline


@dataclass(frozen=True, slots=True)
class Received:
    """The cart has this command and all before it: a pong says so, or a call of the cart that names its session."""

    cart_id: int
    seq: int
    command: Command
    generation: int  # of the cart's boot that has it; a later one has not


@dataclass(frozen=True, slots=True)
class Superseded:
    """Catch-up judged a command void; the cart will not see it."""

    cart_id: int
    seq: int


class NewsKind(StrEnum):
    """What a piece of news is about, by the names that fielded screens and phones read."""

    SESSION_STARTED = "session-started"  # to those who listen to the cart; all others to those of the session
    CART_UPDATED = "cart-updated"
    ITEM_READ = "item-read"
    WEIGHT_INCREASED = "weight increased"
    WEIGHT_DECREASED = "weight decreased"
    PAYMENT_CREATED = "Payment created"
    PAYMENT_SUCCESSFUL = "Payment successful"
    PAYMENT_FAILED = "payment-failed"
    PAYMENT_RETRYING = "payment-retrying"


@dataclass(frozen=True, slots=True)
class News:
    """Listeners of a session or cart hear this, after the command of its transaction went to the cart (F13)."""

    kind: NewsKind
    cart_id: int
    session_id: int
    version: int  # of the session, with this change; of ITEM_READ, which changes nothing, that of the time
    data: int | Mapping[str, str] = 0  # a barcode, 0 for none; of a failure `message`
    final: bool = False  # the session is over, there will be no more


@dataclass(frozen=True, slots=True)
class Happened:
    """A transition, for the log and for those who watch a session. `fields` hold no secret."""

    event: str
    cart_id: int
    session_id: int | None = None
    fields: dict[str, str | int | None] = field(default_factory=dict)


class AlarmKind(StrEnum):
    """What an alarm is about."""

    SESSION_IDLE = "session_idle"  # with a full basket, or an open payment
    PAYMENT_MISMATCH = "payment_mismatch"  # paid with another amount or currency
    PAID_EXTRA = "paid_extra"  # paid after it was closed: somebody gives the money back
    ABSURD_WEBHOOK = "absurd_webhook"  # signed by the provider, and without sense
    UNKNOWN_PAYMENT_PAID = "unknown_payment_paid"  # the provider took money for nothing that is known here
    WEIGHT_INCREASED = "weight_increased"  # while the basket was held for its payment
    WEIGHT_DECREASED = "weight_decreased"
    CODES_GUESSED = "codes_guessed"  # many claim codes that are none came from one address
    BASKET_DIFFERS = "basket_differs"  # the cart did with an item what was refused here


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something an operator must look at; also a row of `alarms`."""

    kind: AlarmKind
    detail: str
    cart_id: int | None = None
    session_id: int | None = None


# Whoever adds one finds by type checking where it must be handed on.
Effect = Queued | Received | Superseded | News | Happened | Alarm
