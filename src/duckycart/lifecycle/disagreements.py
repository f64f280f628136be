"""A cart and this server may disagree about what lies in the basket: the cart did with an item what was refused here
(F72)."""

from typing import Final

from sqlalchemy import func, select

from duckycart.effects import AlarmKind
from duckycart.lifecycle.access import ByCart
from duckycart.lifecycle.carts import lock_with_phase, raise_alarm
from duckycart.refusals import BASKET_FROZEN, BASKET_FULL, LINE_FULL, NOT_IN_BASKET, UNKNOWN_PRODUCT
from duckycart.store.tables import alarms
from duckycart.store.transaction import Transaction

MOST: Final = 20  # of one session: a cart that repeats itself must not hide the alarms of others

# What is said of an item that the cart has put in, or taken out, all the same.
DISAGREE: Final = frozenset((UNKNOWN_PRODUCT, NOT_IN_BASKET, BASKET_FROZEN, LINE_FULL, BASKET_FULL))


def note_disagreement(tx: Transaction, cart: ByCart, session_id: int, barcode: int, did: str, why: str) -> None:
    """Raise an alarm, once for each session, barcode and cause; `did` is what the cart did, `why` why it was refused
    here.

    Nothing happens when the session is not the cart's present one.
    """
    if lock_with_phase(tx, cart.cart_id).cart.session_id != session_id:
        return
    detail = f"Cart {cart.cart_id} {did} {barcode} in session {session_id}, which was refused here: {why}"
    ours = select(func.count()).where(alarms.c.session_id == session_id, alarms.c.kind == AlarmKind.BASKET_DIFFERS)
    if tx.connection.execute(ours.where(alarms.c.detail == detail)).scalar_one():
        return
    if tx.connection.execute(ours).scalar_one() < MOST:
        raise_alarm(tx, AlarmKind.BASKET_DIFFERS, detail, cart_id=cart.cart_id, session_id=session_id)
