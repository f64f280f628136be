"""A cart, its screen or an operator asks for the cart's QR."""

from dataclasses import dataclass, replace

from duckycart.effects import Happened
from duckycart.lifecycle.carts import Cart, lock_with_phase, queue_command
from duckycart.lifecycle.rules import Rules
from duckycart.lifecycle.transitions import Event, Phase, decide
from duckycart.refusals import CART_OFFLINE, OUT_OF_SERVICE
from duckycart.store.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Qr:
    """What the QR's token has to say, and the seq of the command that went with it (None for that of a cart in use)."""

    cart_id: int
    round: int
    expires_at: int  # steady
    seq: int | None


def get_qr(tx: Transaction, cart_id: int, rules: Rules, *, even_in_use: bool = False) -> Qr:
    """Queue `generate_qr`; the QR itself is made after the commit (protocol document, "generate_qr").

    `even_in_use` is for fielded screens, which open their stream only when they got a QR: of a cart in use they get
    that of the present session's round, which nobody else can join any more, and no command is queued. Raises NotFound;
    Conflict when the cart is in use, out of service or away.
    """
    locked = lock_with_phase(tx, cart_id)
    expires_at = tx.steady + rules.qr_seconds * 1000
    if even_in_use and locked.phase is not Phase.AVAILABLE:
        return Qr(cart_id, locked.cart.qr_round - 1, expires_at, None)
    outcome = decide(Event.GET_QR, locked.phase, cart_id=cart_id)
    refuse_unfit(locked.cart, tx.steady, rules)
    assert outcome.command is not None
    tx.effects.append(Happened(Event.GET_QR, cart_id))
    seq = queue_command(tx, replace(locked.cart, qr_expires_at=expires_at), outcome.command, None)
    return Qr(cart_id, locked.cart.qr_round, expires_at, seq)


def refuse_unfit(cart: Cart, steady: int, rules: Rules) -> None:
    """Raise Conflict for a cart that can start no session now, whatever its phase."""
    if cart.disabled or cart.out_of_service:
        raise OUT_OF_SERVICE(cart_id=cart.id)
    if rules.refuse_offline and cart.away_seconds(steady) > rules.offline_seconds:
        raise CART_OFFLINE(cart_id=cart.id)
