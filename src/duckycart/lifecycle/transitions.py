"""The transition table is what the code asks (`decide`), what the docs print and what the tests walk.

A cart's phase is read from three rows that the cart's lock protects: the cart, its active session, that session's open
payment. For every event in every phase there is one entry: where it leads and which command goes with it, or why it is
refused.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from duckycart.errors import Conflict, Refusal
from duckycart.refusals import BASKET_FROZEN, CART_BUSY, PAYMENT_NOT_CREATING, PAYMENT_OPEN, SESSION_OVER, UNPAID
from duckycart.wire import CommandType


class Phase(StrEnum):
    AVAILABLE = "available"  # no session
    SHOPPING = "shopping"  # a session, no payment yet
    ASKING = "asking"  # the provider is being asked for a payment: basket frozen, the cart knows nothing yet
    HELD = "held"  # a payment is open: the cart holds everything
    UNPAID = "unpaid"  # the payment was cancelled at the provider: still held, another payment may be created


class Event(StrEnum):
    GET_QR = "get_qr"
    CREATE_SESSION = "create_session"
    CHANGE_BASKET = "change_basket"
    BEGIN_PAYMENT = "begin_payment"
    OPEN_PAYMENT = "open_payment"
    FAIL_PAYMENT = "fail_payment"
    CLOSE_PAYMENT = "close_payment"
    SETTLE_PAYMENT = "settle_payment"
    END_BY_SHOPPER = "end_by_shopper"
    END_IDLE = "end_idle"
    END_BY_FORCE = "end_by_force"


@dataclass(frozen=True, slots=True)
class To:
    """The event happens: the phase it leads to, and the command that is queued with it."""

    phase: Phase
    command: CommandType | None = None


_A, _S, _K, _H, _U = Phase.AVAILABLE, Phase.SHOPPING, Phase.ASKING, Phase.HELD, Phase.UNPAID
_QR, _START, _PAY, _END = CommandType  # in the protocol document's order

_BUSY, _OVER, _FROZEN, _OPEN, _NOT_ASKING = CART_BUSY, SESSION_OVER, BASKET_FROZEN, PAYMENT_OPEN, PAYMENT_NOT_CREATING
_UNPAID = UNPAID

TABLE: Final[dict[Event, dict[Phase, To | Refusal[Conflict]]]] = {
    Event.GET_QR: {_A: To(_A, _QR), _S: _BUSY, _K: _BUSY, _H: _BUSY, _U: _BUSY},
    Event.CREATE_SESSION: {_A: To(_S, _START), _S: _BUSY, _K: _BUSY, _H: _BUSY, _U: _BUSY},
    Event.CHANGE_BASKET: {_A: _OVER, _S: To(_S), _K: _FROZEN, _H: _FROZEN, _U: _FROZEN},
    Event.BEGIN_PAYMENT: {_A: _OVER, _S: To(_K), _K: To(_K), _H: To(_H), _U: To(_K)},
    Event.OPEN_PAYMENT: {_A: _OVER, _S: _NOT_ASKING, _K: To(_H, _PAY), _H: To(_H), _U: _NOT_ASKING},
    # Provider failed: back to where begin_payment came from (shopping, or unpaid once there was a payment_created).
    Event.FAIL_PAYMENT: {_A: To(_A), _S: To(_S), _K: To(_S), _H: To(_H), _U: To(_U)},
    Event.CLOSE_PAYMENT: {_A: To(_A), _S: To(_S), _K: To(_S), _H: To(_U), _U: To(_U)},
    # A success is never dropped: what fits no active session is recorded as paid extra, with an alarm.
    Event.SETTLE_PAYMENT: {
        _A: To(_A),
        _S: To(_A, _END),
        _K: To(_A, _END),
        _H: To(_A, _END),
        _U: To(_A, _END),
    },
    Event.END_BY_SHOPPER: {_A: _OVER, _S: To(_A, _END), _K: _OPEN, _H: _OPEN, _U: _UNPAID},
    Event.END_IDLE: {_A: _OVER, _S: To(_A, _END), _K: _OPEN, _H: _OPEN, _U: _UNPAID},
    Event.END_BY_FORCE: {_A: _OVER, _S: To(_A, _END), _K: To(_A, _END), _H: To(_A, _END), _U: To(_A, _END)},
}


def decide(event: Event, phase: Phase, **values: int) -> To:
    """Return what the table says. Raises Conflict for a refusal, with those of `values` that it shows."""
    entry = TABLE[event][phase]
    if isinstance(entry, Refusal):
        raise entry(**values)
    return entry


def refusals_of(event: Event) -> tuple[Refusal[Conflict], ...]:
    """Return what the table may say against an event, in whatever phase."""
    return tuple(dict.fromkeys(entry for entry in TABLE[event].values() if isinstance(entry, Refusal)))
