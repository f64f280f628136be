"""What a cart has to hear now: the one function behind claim, gap and sweep.

A cart that comes back is brought to the present, not replayed the past.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, bindparam, case, exists, func, literal, select, update

from duckycart.hardware.link import Send
from duckycart.lifecycle.carts import CART_COLUMNS, Cart, cart_of, lock_cart
from duckycart.lifecycle.effects import Superseded
from duckycart.store.engine import Transaction
from duckycart.store.tables import OUTSTANDING, carts, commands
from duckycart.wire import Command, CommandType


@dataclass(frozen=True, slots=True)
class Outstanding:
    """A command that is queued or sent, not received."""

    seq: int
    command: Command
    session_attempted: bool  # some command of its session may have reached the cart


@dataclass(frozen=True, slots=True)
class Filled:
    """The rows a link must send, and the seq up to which everything else is settled."""

    epoch: int
    generation: int
    rows: tuple[Send, ...]
    through: int


def catch_up(cart: Cart, outstanding: Sequence[Outstanding], now: int) -> tuple[list[Outstanding], list[Outstanding]]:
    """(what to send, what is void), both in the order of `outstanding`, which is that of seq.

    - `generate_qr`: the newest, if a QR of this round is still valid and the cart is available;
    - of a session that is over: its `end_session`, if any command of that session may have been sent. A spare one is
      harmless, a missing one leaves a cart in shopping mode (F31);
    - of the current session: all of it, of several `payment_created` the newest.
    """
    newest = {row.command.type: row.seq for row in outstanding}
    send: list[Outstanding] = []
    void: list[Outstanding] = []
    for row in outstanding:
        match row.command.type:
            case CommandType.GENERATE_QR:
                valid = cart.status == "available" and cart.qr_expires_at > now
                keep = valid and row.seq == newest[CommandType.GENERATE_QR]
            case CommandType.END_SESSION:
                keep = row.session_attempted
            case CommandType.PAYMENT_CREATED:
                current = row.command.session_id == cart.session_id
                keep = current and row.seq == newest[CommandType.PAYMENT_CREATED]
            case CommandType.SESSION_STARTED:
                keep = row.command.session_id == cart.session_id
        (send if keep else void).append(row)
    return send, void


_of_session = commands.alias("of_session")
_OUTSTANDING: Final = (
    select(
        commands.c.seq,
        commands.c.type,
        commands.c.session_id,
        exists(literal(1))
        .where(_of_session.c.session_id == commands.c.session_id, _of_session.c.attempted)
        .label("session_attempted"),
    )
    .where(
        commands.c.cart_id == bindparam("cart"),
        commands.c.seq > bindparam("after_seq"),
        OUTSTANDING,
    )
    .order_by(commands.c.seq)
)
_ONE_COMMAND: Final = update(commands).where(
    commands.c.cart_id == bindparam("cart"), commands.c.seq == bindparam("of_seq")
)
_HAND_OUT: Final = _ONE_COMMAND.values(attempted=True, boot_generation=bindparam("generation"))
_SUPERSEDE: Final = _ONE_COMMAND.values(state="superseded")
_CLAIM: Final = (
    update(carts)
    .where(carts.c.id == bindparam("cart"), ~carts.c.disabled)
    .values(
        link_epoch=carts.c.link_epoch + 1,
        link_node=bindparam("node"),
        link_changed_at=bindparam("at"),
        boot_generation=carts.c.boot_generation
        + case(
            (carts.c.boot_id.is_not_distinct_from(func.coalesce(bindparam("boot"), carts.c.boot_id)), 0),
            else_=1,
        ),
        boot_id=func.coalesce(bindparam("boot"), carts.c.boot_id),
    )
    .returning(*CART_COLUMNS)
)
_CLAIM_WITH_KEY: Final = _CLAIM.where(carts.c.key_hash == bindparam("presented"))
_FORGET: Final = (
    update(commands)
    .where(
        commands.c.cart_id == bindparam("cart"),
        commands.c.boot_generation < bindparam("generation"),
        commands.c.state == "received",
    )
    .values(state="queued", sent_at=None, received_at=None, boot_generation=bindparam("generation"))
)
_RELEASE: Final = (
    update(carts)
    .where(carts.c.id == bindparam("cart"), carts.c.link_epoch == bindparam("epoch"))
    .values(link_node=None, link_changed_at=bindparam("at"))
)


def claim(tx: Transaction, cart_id: int, key_hash: bytes | None, node: str, boot_id: str | None) -> Filled | None:
    """The newest connection owns the cart; returns what to send on it, or None if it may not have the cart.

    `key_hash` None means that no key is asked for. One statement takes the lock, checks the key and raises the epoch;
    what to catch up is read in a later one, so it sees what the lock waited for (F34). A `boot_id` the cart did not
    have before raises its generation: the present session's commands count as not received again (F32).
    """
    parameters = {"cart": cart_id, "node": node, "at": tx.now, "boot": boot_id}
    if key_hash is None:
        row = tx.connection.execute(_CLAIM, parameters).one_or_none()
    else:
        row = tx.connection.execute(_CLAIM_WITH_KEY, {**parameters, "presented": key_hash}).one_or_none()
    if row is None:
        return None
    cart = cart_of(row)
    if boot_id is not None:
        _forget(tx, cart)
    return _hand_out(tx, cart, 0)


def _forget(tx: Transaction, cart: Cart) -> None:
    """A cart that rebooted lost what it had received of the present: its session, or the QR on its screen."""
    if cart.session_id is not None:
        of_present = commands.c.session_id == cart.session_id
    elif cart.qr_expires_at > tx.now:
        of_present = (commands.c.type == CommandType.GENERATE_QR.value) & (commands.c.seq == cart.last_seq)
    else:
        return
    tx.connection.execute(_FORGET.where(of_present), {"cart": cart.id, "generation": cart.boot_generation})


def fill(tx: Transaction, cart_id: int, epoch: int, after_seq: int) -> Filled | None:
    """What a live link has not sent. None when a newer connection owns the cart."""
    cart = lock_cart(tx, cart_id)
    return _hand_out(tx, cart, after_seq) if cart.link_epoch == epoch else None


def _hand_out(tx: Transaction, cart: Cart, after_seq: int) -> Filled:
    rows = tx.connection.execute(_OUTSTANDING, {"cart": cart.id, "after_seq": after_seq})
    outstanding = [
        Outstanding(row.seq, Command(CommandType(row.type), row.session_id), bool(row.session_attempted))
        for row in rows
    ]
    if not outstanding:
        return Filled(cart.link_epoch, cart.boot_generation, (), cart.last_seq)
    send, void = catch_up(cart, outstanding, tx.now)
    if send:
        tx.connection.execute(
            _HAND_OUT,
            [{"cart": cart.id, "of_seq": row.seq, "generation": cart.boot_generation} for row in send],
        )
    if void:
        tx.connection.execute(_SUPERSEDE, [{"cart": cart.id, "of_seq": row.seq} for row in void])
        tx.effects.extend(Superseded(cart.id, row.seq) for row in void)
    return Filled(
        cart.link_epoch,
        cart.boot_generation,
        tuple(Send(row.seq, row.command) for row in send),
        cart.last_seq,
    )


def release(tx: Transaction, cart_id: int, epoch: int) -> None:
    """The link of this epoch is gone. Changes nothing when a newer one came meanwhile (F02)."""
    tx.connection.execute(_RELEASE, {"cart": cart_id, "epoch": epoch, "at": tx.now})


def release_all(tx: Transaction) -> None:
    """No link survives its server: at the start of the only server of a store, every cart is offline."""
    tx.connection.execute(
        update(carts).where(carts.c.link_node.is_not(None)).values(link_node=None, link_changed_at=tx.now)
    )


def behind(connection: Connection, node: str) -> dict[int, int]:
    """Of this node's carts: the newest seq that is still queued. One indexed query, whatever the history."""
    rows = connection.execute(
        select(commands.c.cart_id, func.max(commands.c.seq))
        .join(carts, carts.c.id == commands.c.cart_id)
        .where(
            OUTSTANDING,
            commands.c.state == "queued",
            carts.c.link_node == node,
        )
        .group_by(commands.c.cart_id)
    )
    return {row[0]: row[1] for row in rows}


def changed_hands(connection: Connection, since: int) -> list[tuple[int, int, str | None]]:
    """(cart, epoch, node) of every cart whose link was claimed, released or withdrawn since then."""
    rows = connection.execute(
        select(carts.c.id, carts.c.link_epoch, carts.c.link_node).where(carts.c.link_changed_at >= since)
    )
    return [(row.id, row.link_epoch, row.link_node) for row in rows]
