"""A table says what each of the four commands does to a cart.

A command is compared with the cart's state, not with a list of commands seen before: whatever the server repeats after
a broken link changes nothing, and a cart that forgot everything in a reboot is brought to the present by it.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from duckycart.wire import Command, CommandType


class CartState(StrEnum):
    IDLE = "idle"
    QR = "qr"  # a QR is on display, here or on the cart's screen
    SHOPPING = "shopping"
    HELD = "held"  # a payment exists: nothing may be added or taken until the session ends


class Action(StrEnum):
    """What the hardware must do; the `Driver` method of the same name does it."""

    SHOW_QR = "show_qr"
    START_SHOPPING = "start_shopping"
    HOLD_FOR_PAYMENT = "hold_for_payment"
    RETURN_TO_IDLE = "return_to_idle"


@dataclass(frozen=True, slots=True)
class Situation:
    """Where the cart stands; `session_id` is None exactly when nobody shops (IDLE and QR)."""

    state: CartState = CartState.IDLE
    session_id: int | None = None


IDLE, QR, SHOPPING, HELD = CartState
GENERATE_QR, SESSION_STARTED, PAYMENT_CREATED, END_SESSION = CommandType
SHOW, START, HOLD, END = Action
OURS, OTHER = True, False  # does the command name the session that the cart is in?

# Three decisions are in here:
# - `generate_qr` acts whenever nobody shops, also when a QR is up already, but never disturbs a session: a
#   server sends it only for a free cart, after that session's `end_session`.
# - A new session replaces ours, because the server is right about who shops; ours is cleaned up first. A
#   payment of a session that this cart does not know (it rebooted) starts that session and holds it.
# - `end_session` of another session never ends ours. It is a spare one, and spare ones are harmless.
TRANSITIONS: Final[dict[tuple[CartState, CommandType, bool], tuple[CartState, tuple[Action, ...]]]] = {
    (IDLE, GENERATE_QR, OTHER): (QR, (SHOW,)),
    (IDLE, SESSION_STARTED, OTHER): (SHOPPING, (START,)),
    (IDLE, PAYMENT_CREATED, OTHER): (HELD, (START, HOLD)),
    (IDLE, END_SESSION, OTHER): (IDLE, ()),
    (QR, GENERATE_QR, OTHER): (QR, (SHOW,)),
    (QR, SESSION_STARTED, OTHER): (SHOPPING, (START,)),
    (QR, PAYMENT_CREATED, OTHER): (HELD, (START, HOLD)),
    (QR, END_SESSION, OTHER): (QR, ()),
    (SHOPPING, GENERATE_QR, OTHER): (SHOPPING, ()),
    (SHOPPING, SESSION_STARTED, OURS): (SHOPPING, ()),
    (SHOPPING, SESSION_STARTED, OTHER): (SHOPPING, (END, START)),
    (SHOPPING, PAYMENT_CREATED, OURS): (HELD, (HOLD,)),
    (SHOPPING, PAYMENT_CREATED, OTHER): (HELD, (END, START, HOLD)),
    (SHOPPING, END_SESSION, OURS): (IDLE, (END,)),
    (SHOPPING, END_SESSION, OTHER): (SHOPPING, ()),
    (HELD, GENERATE_QR, OTHER): (HELD, ()),
    (HELD, SESSION_STARTED, OURS): (HELD, ()),
    (HELD, SESSION_STARTED, OTHER): (SHOPPING, (END, START)),
    (HELD, PAYMENT_CREATED, OURS): (HELD, ()),
    (HELD, PAYMENT_CREATED, OTHER): (HELD, (END, START, HOLD)),
    (HELD, END_SESSION, OURS): (IDLE, (END,)),
    (HELD, END_SESSION, OTHER): (HELD, ()),
}


def obey(situation: Situation, command: Command) -> tuple[Situation, tuple[Action, ...]]:
    """Return where the cart stands after `command`, and what the hardware must do for that, in order.

    START_SHOPPING and HOLD_FOR_PAYMENT speak of the new situation's session.
    """
    ours = command.session_id is not None and command.session_id == situation.session_id
    state, actions = TRANSITIONS[situation.state, command.type, ours]
    if not actions:
        return situation, actions
    return Situation(state, command.session_id if state in (SHOPPING, HELD) else None), actions
