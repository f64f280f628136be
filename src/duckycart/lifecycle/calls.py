"""A call of a cart that names its session is a receipt: whoever knows the session has heard its `session_started`.

Whatever becomes of the call: one that is refused proves as much (F43). But it proves it of one boot only, and another
may have the cart by now; so a call that does not say which boot it comes from counts where no more than one can have
heard the command (F42).
"""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, bindparam, case, select, update

from duckycart.effects import Received
from duckycart.lifecycle.access import ByCart
from duckycart.lifecycle.boots import READER, find_boot, note_heard
from duckycart.lifecycle.carts import lock_cart
from duckycart.store.prepared import prepared
from duckycart.store.states import OUTSTANDING_COMMANDS, CommandState
from duckycart.store.tables import OUTSTANDING, carts, commands
from duckycart.store.transaction import Transaction
from duckycart.wire import Command, CommandType

_OF_KEY: Final = prepared(select(carts.c.id, carts.c.disabled).where(carts.c.key_hash == bindparam("key_hash")))
_START: Final = prepared(
    select(
        commands.c.seq,
        commands.c.state,
        commands.c.several_boots,
        carts.c.boot_id,
        carts.c.boot_generation,
    )
    .join(carts, carts.c.id == commands.c.cart_id)
    .where(
        commands.c.session_id == bindparam("session"),
        commands.c.type == CommandType.SESSION_STARTED.value,
        carts.c.id == bindparam("cart"),
        carts.c.session_id == commands.c.session_id,
    )
)
_ACKNOWLEDGE: Final = prepared(
    update(commands)
    .where(
        commands.c.cart_id == bindparam("cart"),
        commands.c.seq <= bindparam("start"),
        commands.c.boot_generation == bindparam("number"),
        OUTSTANDING,
    )
    .values(
        state=CommandState.RECEIVED,
        received_at=bindparam("at"),
        # Of what came before the start it proves no more than that this boot does not lack it.
        boot_generation=case((commands.c.seq == bindparam("start"), bindparam("number")), else_=READER),
    )
)


@dataclass(frozen=True, slots=True)
class Proof:
    """Proof that this boot of the cart has heard the session's start, and all that came before it: frames keep their
    order."""

    seq: int
    generation: int


def calling_cart(
    connection: Connection, key_hash: bytes, boot_id: str | None, session_id: int | None
) -> tuple[ByCart, Proof | None] | None:
    """Return the cart with this key, and what its call proves by naming the session, if it names one.

    Returns None for an unknown key and for a disabled cart.
    """
    row = _OF_KEY.one_or_none(connection, key_hash=key_hash)
    if row is None or row.disabled:
        return None
    cart = ByCart(row.id, boot_id)
    return cart, None if session_id is None else proof(connection, cart, session_id)


def proof(connection: Connection, cart: ByCart, session_id: int) -> Proof | None:
    """Return what a call of this cart proves by naming the session; None if that is written already, or nothing."""
    start = _START.one_or_none(connection, cart=cart.cart_id, session=session_id)
    if start is None:  # not the cart's present session
        return None
    if cart.boot_id is not None and start.boot_id is not None and cart.boot_id != start.boot_id:
        boot = find_boot(connection, cart.cart_id, cart.boot_id)
        if boot is None or not boot.heard_seq < start.seq <= boot.told_seq:
            return None
        return Proof(start.seq, boot.generation)
    one_boot = cart.boot_id is not None or not start.several_boots
    return Proof(start.seq, start.boot_generation) if one_boot and start.state in OUTSTANDING_COMMANDS else None


def acknowledge(tx: Transaction, cart: ByCart, session_id: int) -> None:
    """Write down what `proof` finds, judged again under the cart's lock."""
    lock_cart(tx, cart.cart_id)
    proved = proof(tx.connection, cart, session_id)
    if proved is None:
        return
    number, seq = proved.generation, proved.seq
    _ACKNOWLEDGE.run(tx.connection, cart=cart.cart_id, start=seq, number=number, at=tx.now)
    note_heard(tx, {(cart.cart_id, number): seq})
    tx.effects.append(receipt(cart, session_id, proved))


def receipt(cart: ByCart, session_id: int, proved: Proof) -> Received:
    """Return what to tell the cart's links of the proof."""
    return Received(cart.cart_id, proved.seq, Command(CommandType.SESSION_STARTED, session_id), proved.generation)
