"""A QR was asked for."""

from dataclasses import dataclass, replace

from duckycart.errors import Conflict
from duckycart.lifecycle.carts import Cart, queue_command, stand
from duckycart.lifecycle.effects import Happened
from duckycart.lifecycle.rules import Rules
from duckycart.lifecycle.transitions import Event, decide
from duckycart.store.engine import Transaction


@dataclass(frozen=True, slots=True)
class Qr:
    """What the QR's token has to say, and the command that went with it."""

    cart_id: int
    round: int
    expires_at: int
    seq: int


def get_qr(tx: Transaction, cart_id: int, rules: Rules) -> Qr:
    """Queue `generate_qr`; the QR itself is made after the commit (protocol document, "generate_qr").

    Raises NotFound; Conflict when the cart is in use, out of service or away.
    """
    standing = stand(tx, cart_id)
    outcome = decide(Event.GET_QR, standing.phase, cart_id=cart_id)
    refuse_unfit(standing.cart, tx.now, rules)
    expires_at = tx.now + rules.qr_seconds * 1000
    assert outcome.command is not None
    tx.effects.append(Happened(Event.GET_QR, cart_id))
    seq = queue_command(tx, replace(standing.cart, qr_expires_at=expires_at), outcome.command, None)
    return Qr(cart_id, standing.cart.qr_round, expires_at, seq)


def refuse_unfit(cart: Cart, now: int, rules: Rules) -> None:
    """Raises Conflict for a cart that can start no session now, whatever its phase."""
    if cart.disabled or cart.out_of_service:
        raise Conflict("out_of_service", "This cart is out of service; please take another one.", cart_id=cart.id)
    if rules.refuse_offline and cart.away_seconds(now) > rules.offline_seconds:
        raise Conflict("cart_offline", "This cart is not connected; please take another one.", cart_id=cart.id)
