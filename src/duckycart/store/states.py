"""Rows can be in these states: the columns hold them, the database checks them, and the code compares with them."""

from enum import StrEnum
from typing import Final


class CartStatus(StrEnum):
    """Whether a cart has a session. `out_of_service`, which clients read as a third, is a column of its own."""

    AVAILABLE = "available"
    IN_USE = "in_use"


class CommandState(StrEnum):
    """How far a command is on its way to the cart."""

    QUEUED = "queued"  # committed, and written to no socket that is known of
    SENT = "sent"  # written to a socket
    RECEIVED = "received"  # the cart has it: a pong says so, or a call
    SUPERSEDED = "superseded"  # catch-up judged it void; no cart will see it


class EndReason(StrEnum):
    """How a session ended."""

    PAID = "paid"
    ENDED = "ended"  # by the shopper, with an empty basket
    IDLE = "idle"  # no sign of life, and an empty basket
    FORCED = "forced"  # by an operator


class PaymentState(StrEnum):
    """Where a payment stands."""

    CREATING = "creating"  # the basket is frozen, the provider is being asked
    OPEN = "open"  # the provider has it, and the shopper can pay it
    PAID = "paid"
    FAILED = "failed"  # the provider refused it
    CANCELLED = "cancelled"  # over at the provider, unpaid
    PAID_EXTRA = "paid_extra"  # paid after it was closed, and of no active session: an operator gives it back


class Heeded(StrEnum):
    """What came of a provider's event, which is kept with it and answered to the provider."""

    SETTLED = "settled"  # the payment was paid, and its session ended with it
    REPEATED = "repeated"  # the event, or the payment's success, was recorded before
    MISMATCH = "mismatch"  # another amount or currency than the payment's: nothing was settled
    PAID_EXTRA = "paid_extra"  # the payment was over, and of no active session
    DECLINED = "declined"  # the payment stays open for another try
    CANCELLED = "cancelled"  # the payment is over
    IGNORED = "ignored"  # nothing that changes a payment, or one that is over
    UNKNOWN_PAYMENT = "unknown_payment"  # of no payment of this shop
    ABSURD = "absurd"  # signed, and without sense


OPEN_PAYMENTS: Final = (PaymentState.CREATING, PaymentState.OPEN)  # of which a session has one at most
OUTSTANDING_COMMANDS: Final = (CommandState.QUEUED, CommandState.SENT)


def is_in(column: str, states: "type[StrEnum] | tuple[StrEnum, ...]") -> str:
    """Return the SQL that says that the column holds one of these states."""
    return f"{column} IN ({', '.join(repr(str(state)) for state in states)})"
