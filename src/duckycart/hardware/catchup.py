"""What a cart has to hear now: the one function behind claim, gap and sweep.

A cart that comes back is brought to the present, not replayed the past.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hmac import compare_digest
from typing import Any, Final

from sqlalchemy import Connection, Row, and_, bindparam, exists, func, literal, or_, select, update

from duckycart.hardware import connections
from duckycart.hardware.ending import Refused
from duckycart.hardware.link import Send
from duckycart.lifecycle.boots import UNNAMED, Change, change_boots
from duckycart.lifecycle.carts import CART_COLUMNS, CHANGED_NOW, Cart, changed_now, lock_cart
from duckycart.lifecycle.effects import Superseded
from duckycart.store.engine import Transaction
from duckycart.store.tables import OUTSTANDING, carts, commands, nodes
from duckycart.wire import Command, CommandType


@dataclass(frozen=True, slots=True)
class Claim:
    """A connection asks for its cart."""

    cart_id: int
    key_hash: bytes | None  # None: no key is asked for
    boot_id: str | None  # None: the cart says nothing of its boot
    wanted: Callable[[], bool] = lambda: True  # still; asked in the writer's thread
    address: str | None = None  # where it comes from, for the records


Owner = tuple[int, int, str | None]  # a cart, its epoch, and which node holds its link


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
    previous_node: str | None = None  # of a claim: who held the link until now, None if nobody did


def catch_up(
    cart: Cart, outstanding: Sequence[Outstanding], steady: int
) -> tuple[list[Outstanding], list[Outstanding]]:
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
                valid = cart.status == "available" and cart.qr_expires_at > steady
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
        commands.c.cart_id,
        commands.c.seq,
        commands.c.type,
        commands.c.session_id,
        exists(literal(1))
        .where(_of_session.c.session_id == commands.c.session_id, _of_session.c.attempted)
        .label("session_attempted"),
    )
    .where(
        commands.c.cart_id.in_(bindparam("carts", expanding=True)),
        commands.c.seq > bindparam("after_seq"),
        OUTSTANDING,
    )
    # Receipts take no lock of the cart, so these rows are locked too: a receipt is either seen here or waits. All who
    # lock several commands do it in this order, or they would wait in a circle.
    .order_by(commands.c.cart_id, commands.c.seq)
    .with_for_update(key_share=True, of=commands)
)
_LOCK_COMMANDS: Final = _OUTSTANDING.with_only_columns(commands.c.seq)
_AMONG: Final = carts.c.id.in_(bindparam("carts", expanding=True))
_THEIR_COMMANDS: Final = update(commands).where(commands.c.cart_id == carts.c.id, _AMONG)
_HAND_OUT: Final = _THEIR_COMMANDS.where(commands.c.seq > bindparam("after_seq"), OUTSTANDING).values(
    attempted=True,
    boot_generation=carts.c.boot_generation,
    several_boots=or_(
        commands.c.several_boots, and_(commands.c.attempted, commands.c.boot_generation != carts.c.boot_generation)
    ),
)
_SUPERSEDE: Final = (
    update(commands)
    .where(commands.c.cart_id == bindparam("cart"), commands.c.seq == bindparam("of_seq"))
    .values(state="superseded")
)
# In one order, so that two batches never wait for each other; the lock is the one that an UPDATE takes.
_LOCK_MANY: Final = (
    select(*CART_COLUMNS, carts.c.key_hash, carts.c.boot_id)
    .where(_AMONG)
    .order_by(carts.c.id)
    .with_for_update(key_share=True)
)
_CLAIM: Final = (
    update(carts).where(_AMONG).values(link_epoch=carts.c.link_epoch + 1, link_node=bindparam("node"), **CHANGED_NOW)
)
_BOOT: Final = (
    update(carts)
    .where(carts.c.id == bindparam("cart"))
    .values(boot_id=bindparam("boot"), boot_generation=bindparam("number"))
)
_RELEASE: Final = (
    update(carts)
    .where(carts.c.id == bindparam("cart"), carts.c.link_epoch == bindparam("epoch"))
    .values(link_node=None, **CHANGED_NOW)
)

_OWNERS: Final = select(carts.c.id, carts.c.link_epoch, carts.c.link_node)
# A node that leaves deletes its row first: it then waits until what it takes back is committed, and releases that too.
_NODES: Final = select(nodes.c.id).with_for_update(read=True, key_share=True)
_TAKE_BACK: Final = (
    update(carts)
    .where(
        carts.c.id == bindparam("cart"), carts.c.link_epoch == bindparam("epoch"), carts.c.link_node.is_(None),
    )
    .values(link_node=bindparam("node"), **CHANGED_NOW)
)  # fmt: skip


def claim_many(tx: Transaction, claims: Sequence[Claim], node: str) -> list[Filled | Refused]:
    """The newest connection owns the cart: for each claim what to send on it, or why it may not have the cart; that is
    CART_LEFT if it does not want it any more.

    At most one claim of each cart. One statement takes all the locks; what to catch up is read in a later one, so it
    sees what the lock waited for (F34). A connection that ended during that wait must not have the cart either: the
    cart may be back by now, on another node, and that link would be the older one.
    """
    rows = {row.id: row for row in tx.connection.execute(_LOCK_MANY, {"carts": [claim.cart_id for claim in claims]})}
    claimed: dict[int, Cart] = {}
    changes: list[Change] = []
    refused: dict[int, Refused] = {}
    for claim in claims:
        row = rows.get(claim.cart_id)
        if row is None:
            refused[claim.cart_id] = Refused.UNKNOWN_CART
            continue
        if (why := _refuses(row, claim)) is not None:
            refused[claim.cart_id] = why
            continue
        cart = Cart(*row[: len(CART_COLUMNS)])
        claimed[cart.id] = cart = replace(cart, link_epoch=cart.link_epoch + 1, link_node=node)
        boot_id = UNNAMED if claim.boot_id is None and row.boot_id is not None else claim.boot_id
        if boot_id is not None and boot_id != row.boot_id:
            changes.append(Change(cart, row.boot_id, boot_id))
    if claimed:
        tx.connection.execute(_CLAIM, {"carts": list(claimed), "node": node, **changed_now(tx)})
    if changes:
        # All that receipts may hold, at once and in their order, before some of it changes.
        tx.connection.execute(_LOCK_COMMANDS, {"carts": list(claimed), "after_seq": 0}).close()
        generations = change_boots(tx, changes)
        boots = [
            {"cart": change.cart.id, "boot": change.now, "number": generations[change.cart.id]} for change in changes
        ]
        tx.connection.execute(_BOOT, boots)
        claimed |= {each: replace(claimed[each], boot_generation=number) for each, number in generations.items()}
    filled = _hand_out(tx, claimed.values(), 0)
    connections.began(tx, claimed.values(), {claim.cart_id: claim.address for claim in claims})
    return [
        replace(filled[claim.cart_id], previous_node=rows[claim.cart_id].link_node)
        if claim.cart_id in filled
        else refused[claim.cart_id]
        for claim in claims
    ]


def _refuses(row: Row[*tuple[Any, ...]], claim: Claim) -> Refused | None:
    """Why this claim may not have the cart, whose row is locked; None if it may."""
    if claim.key_hash is not None and not compare_digest(claim.key_hash, row.key_hash):
        return Refused.WRONG_KEY
    if row.disabled:
        return Refused.DISABLED
    return None if claim.wanted() else Refused.CART_LEFT


def fill(tx: Transaction, cart_id: int, epoch: int, after_seq: int) -> Filled | None:
    """What a live link has not sent. None when a newer connection owns the cart."""
    cart = lock_cart(tx, cart_id)
    return _hand_out(tx, [cart], after_seq)[cart_id] if cart.link_epoch == epoch else None


def _hand_out(tx: Transaction, locked: Collection[Cart], after_seq: int) -> dict[int, Filled]:
    """For each of these carts what a link that sent everything up to `after_seq` must send now."""
    if not locked:
        return {}
    outstanding: defaultdict[int, list[Outstanding]] = defaultdict(list)
    for row in tx.connection.execute(_OUTSTANDING, {"carts": [cart.id for cart in locked], "after_seq": after_seq}):
        command = Command(CommandType(row.type), row.session_id)
        outstanding[row.cart_id].append(Outstanding(row.seq, command, bool(row.session_attempted)))
    filled = {}
    handing_out = []
    dropped = []
    for cart in locked:
        send, void = catch_up(cart, outstanding.get(cart.id, ()), tx.steady)
        if send:
            handing_out.append(cart.id)
        dropped += [{"cart": cart.id, "of_seq": row.seq} for row in void]
        tx.effects.extend(Superseded(cart.id, row.seq) for row in void)
        rows = tuple(Send(row.seq, row.command) for row in send)
        filled[cart.id] = Filled(cart.link_epoch, cart.boot_generation, rows, cart.last_seq)
    if dropped:
        tx.connection.execute(_SUPERSEDE, dropped)
    if handing_out:  # everything that is outstanding still
        tx.connection.execute(_HAND_OUT, {"carts": handing_out, "after_seq": after_seq})
    return filled


def release_many(tx: Transaction, links: Iterable[tuple[int, int]]) -> None:
    """The links of these (cart, epoch) are gone. Changes nothing where a newer one came meanwhile (F02)."""
    gone = [
        {"cart": cart_id, "epoch": epoch, **changed_now(tx)} for cart_id, epoch in sorted(links)
    ]  # locks in one order
    if gone:
        tx.connection.execute(_RELEASE, gone)


def take_back(tx: Transaction, links: Mapping[int, int], node: str) -> None:
    """The node was given up as dead and lives: carts whose link it holds, by their epochs, are its own again.

    Changes nothing where another connection came meanwhile, or the credential was withdrawn: the epoch is another. Nor
    for a node that is not among those that there are: it has left, or its next beat comes first.
    """
    there = tx.connection.execute(_NODES).scalars().all()  # none: this is the only server
    if there and node not in there:
        return
    held = [
        {"cart": cart_id, "epoch": epoch, "node": node, **changed_now(tx)} for cart_id, epoch in sorted(links.items())
    ]  # locks in one order
    if held:
        tx.connection.execute(_TAKE_BACK, held)


def release_all(tx: Transaction) -> None:
    """No link survives its server: at the start of the only server of a store, every cart is offline."""
    there = update(carts).where(carts.c.link_node.is_not(None))
    tx.connection.execute(there.values(link_node=None, **CHANGED_NOW), changed_now(tx))


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


def changed_hands(connection: Connection, since: int) -> list[Owner]:
    """Of every cart whose link was claimed, released or withdrawn since then (steady)."""
    return _owners(connection.execute(_OWNERS.where(carts.c.link_changed_at >= since)))


def owners_of(connection: Connection, cart_ids: Collection[int]) -> list[Owner]:
    """The same of these carts, whenever that was."""
    return _owners(connection.execute(_OWNERS.where(carts.c.id.in_(cart_ids)))) if cart_ids else []


def held_by(connection: Connection, node: str, after_id: int, limit: int) -> list[Owner]:
    """The same of carts whose row names this node, `limit` of them from the one after `after_id`."""
    of_node = _OWNERS.where(carts.c.link_node == node, carts.c.id > after_id).order_by(carts.c.id).limit(limit)
    return _owners(connection.execute(of_node))


def _owners(rows: Iterable[Row[Any]]) -> list[Owner]:
    return [(row.id, row.link_epoch, row.link_node) for row in rows]
