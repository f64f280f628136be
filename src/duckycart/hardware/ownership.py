"""A cart is owned by the node that holds its link: here is every statement that changes which node that is, or asks.

A cart's row names the node that holds its link (`link_node`, None while the cart is offline) and counts connections and
withdrawals (`link_epoch`). A claim and a withdrawal raise the epoch; whatever else happens to a link compares it, so
that what comes late changes nothing. All who lock several carts do it in the order of their ids, or they would wait in
a circle; each lock is the one that an UPDATE takes.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from hmac import compare_digest
from typing import Any, Final, NamedTuple

from sqlalchemy import BindParameter, Connection, Row, Select, and_, bindparam, case, delete, func, select, update

from duckycart.hardware import connections
from duckycart.hardware.catchup import Filled, hand_out, lock_outstanding
from duckycart.hardware.ending import Gone, Refused
from duckycart.lifecycle.boots import UNNAMED, Change, change_boots
from duckycart.lifecycle.carts import CART_COLUMNS, Cart, cart_of
from duckycart.store.states import CartStatus, CommandState
from duckycart.store.tables import OUTSTANDING, carts, commands, nodes
from duckycart.store.transaction import Transaction

SLICE: Final = 1000  # carts that one statement releases


@dataclass(frozen=True, slots=True)
class Claim:
    """A connection asks for its cart."""

    cart_id: int
    key_hash: bytes | None  # None: no key is asked for
    boot_id: str | None  # None: the cart says nothing of its boot
    wanted: Callable[[], bool] = lambda: True  # still; asked in the writer's thread
    address: str | None = None  # where it comes from, for the records


class Owner(NamedTuple):
    """What a cart's row says of its link."""

    cart_id: int
    epoch: int
    node: str | None  # None while the cart is offline


# The values of an UPDATE that changes a link, with `_now` for their parameters.
_CHANGED: Final[dict[str, BindParameter[int]]] = {
    "link_changed_at": bindparam("changed_steady"),
    "link_changed_wall": bindparam("changed_wall"),
}
_AMONG: Final = carts.c.id.in_(bindparam("carts", expanding=True))
_IN_ORDER: Final = select(carts.c.id).order_by(carts.c.id).with_for_update(key_share=True)
_OF_NODE: Final = carts.c.link_node == bindparam("node")
_OF_EPOCH: Final = and_(carts.c.id == bindparam("cart"), carts.c.link_epoch == bindparam("epoch"))
_OFFLINE: Final = update(carts).values(link_node=None, **_CHANGED)

_LOCK_MANY: Final = (
    select(*CART_COLUMNS, carts.c.key_hash, carts.c.boot_id)
    .where(_AMONG)
    .order_by(carts.c.id)
    .with_for_update(key_share=True)
)
_CLAIM: Final = (
    update(carts).where(_AMONG).values(link_epoch=carts.c.link_epoch + 1, link_node=bindparam("node"), **_CHANGED)
)
_BOOT: Final = (
    update(carts)
    .where(carts.c.id == bindparam("cart"))
    .values(boot_id=bindparam("boot"), boot_generation=bindparam("number"))
)
_RELEASE: Final = _OFFLINE.where(_OF_EPOCH)
_RELEASE_ALL: Final = _OFFLINE.where(carts.c.link_node.is_not(None))
_RELEASE_OF: Final = _OFFLINE.where(carts.c.id.in_(_IN_ORDER.where(_OF_NODE)))
_ORPHANED: Final = and_(carts.c.link_node.is_not(None), carts.c.link_node.not_in(select(nodes.c.id)))
_LOCK_ORPHANS: Final = _IN_ORDER.where(carts.c.id > bindparam("after"), _ORPHANED).limit(SLICE)
_RELEASE_ORPHANS: Final = _OFFLINE.where(_AMONG, _ORPHANED)
# A node that leaves deletes its row first: it then waits until what it takes back is committed, and releases that too.
_NODES: Final = select(nodes.c.id).with_for_update(read=True, key_share=True)
_TAKE_BACK: Final = (
    update(carts).where(_OF_EPOCH, carts.c.link_node.is_(None)).values(link_node=bindparam("node"), **_CHANGED)
)
_OWNERS: Final = select(carts.c.id.label("cart_id"), carts.c.link_epoch.label("epoch"), carts.c.link_node.label("node"))


def _now(tx: Transaction) -> dict[str, int]:
    """Return the values of an UPDATE that say when a link changed, by both clocks."""
    return {"changed_steady": tx.steady, "changed_wall": tx.now}


def claim_many(tx: Transaction, claims: Sequence[Claim], node: str) -> list[Filled | Refused]:
    """Make each claim's connection, the newest, the owner of its cart. Returns for each what to send on it, or why it
    may not have the cart: CART_LEFT if it does not want the cart any more.

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
        cart = cart_of(row)
        claimed[cart.id] = cart = replace(cart, link_epoch=cart.link_epoch + 1, link_node=node)
        boot_id = UNNAMED if claim.boot_id is None and row.boot_id is not None else claim.boot_id
        if boot_id is not None and boot_id != row.boot_id:
            # Who never named a boot is known from now on as one that did not, with all it has heard.
            before = UNNAMED if row.boot_id is None and row.link_epoch else row.boot_id
            changes.append(Change(cart, before, boot_id))
    if claimed:
        tx.connection.execute(_CLAIM, {"carts": list(claimed), "node": node, **_now(tx)})
    if changes:
        # All that receipts may hold, at once and in their order, before some of it changes.
        lock_outstanding(tx, list(claimed))
        generations = change_boots(tx, changes)
        boots = [
            {"cart": change.cart.id, "boot": change.now, "number": generations[change.cart.id]} for change in changes
        ]
        tx.connection.execute(_BOOT, boots)
        claimed |= {each: replace(claimed[each], boot_generation=number) for each, number in generations.items()}
    filled = hand_out(tx, claimed.values(), 0)
    connections.began(tx, claimed.values(), {claim.cart_id: claim.address for claim in claims})
    return [
        replace(filled[claim.cart_id], previous_node=rows[claim.cart_id].link_node)
        if claim.cart_id in filled
        else refused[claim.cart_id]
        for claim in claims
    ]


def _refuses(row: Row[*tuple[Any, ...]], claim: Claim) -> Refused | None:
    """Return why this claim may not have the cart, whose row is locked; None if it may."""
    if claim.key_hash is not None and not compare_digest(claim.key_hash, row.key_hash):
        return Refused.WRONG_KEY
    if row.disabled:
        return Refused.DISABLED
    return None if claim.wanted() else Refused.CART_LEFT


def release_many(tx: Transaction, links: Collection[Gone]) -> None:
    """Release carts from these links, which are over, and write down how they ended. Changes nothing where a newer link
    came (F02)."""
    in_order = sorted(links, key=lambda gone: (gone.cart_id, gone.epoch))
    if in_order:
        tx.connection.execute(_RELEASE, [{"cart": gone.cart_id, "epoch": gone.epoch, **_now(tx)} for gone in in_order])
    connections.ended(tx, in_order)


def take_back(tx: Transaction, links: Mapping[int, int], node: str) -> None:
    """Give carts back to a node that was given up as dead and lives: those whose links it holds, by their epochs.

    Changes nothing where another connection came meanwhile, or the credential was withdrawn: the epoch is another. A
    node that has no row gets nothing back either: it has left, or its next beat comes first.
    """
    living = tx.connection.execute(_NODES).scalars().all()  # none: this is the only server
    if living and node not in living:
        return
    in_order = [{"cart": cart_id, "epoch": epoch, "node": node, **_now(tx)} for cart_id, epoch in sorted(links.items())]
    if in_order:
        tx.connection.execute(_TAKE_BACK, in_order)


def release_all(tx: Transaction) -> None:
    """Release every cart at the start of the only server of a store: no link survives its server."""
    tx.connection.execute(_RELEASE_ALL, _now(tx))


def give_up(tx: Transaction, node: str, beats: int) -> int | None:
    """Give up a node that is still at this beat as dead: its carts are offline. Returns how many; None if the node
    lives."""
    gone = tx.connection.execute(delete(nodes).where(nodes.c.id == node, nodes.c.beats == beats)).rowcount
    if not gone:
        return None
    # Of others too whose node was gone before: one that was given up, claimed once more and was killed, say.
    return release_orphans(tx)


def release_orphans(tx: Transaction) -> int:
    """Release the carts whose row names a node that has no row: nobody else ever would. Returns how many."""
    released, last = 0, -1
    while True:
        locked = tx.connection.execute(_LOCK_ORPHANS, {"after": last}).scalars().all()
        if locked:
            # In a statement of its own, which sees the nodes that began, and claimed, while the locks were waited for.
            released += tx.connection.execute(_RELEASE_ORPHANS, {"carts": locked, **_now(tx)}).rowcount
            last = locked[-1]
        if len(locked) < SLICE:
            return released


def leave(tx: Transaction, node: str) -> None:
    """Delete the row of a node that ends tidily, and release its carts: nobody has to wait until it is given up."""
    tx.connection.execute(delete(nodes).where(nodes.c.id == node))
    tx.connection.execute(_RELEASE_OF, {"node": node, **_now(tx)})


def withdraw(tx: Transaction, cart_id: int, changes: Mapping[str, Any]) -> bool:
    """Change the cart's credential, and take the link that was made with the one before from its node. Returns whether
    there is such a cart.

    The row gets a newer epoch and no node, by which the sweep of the server that holds the link closes it with 1008.
    That is one UPDATE with the change, so that no claim with the old credential fits in between. A cart that was away
    stays away since then: nothing was heard of it now.
    """
    away = carts.c.link_node.is_(None)
    withdrawn = update(carts).where(carts.c.id == cart_id).values(
        **changes,
        link_epoch=carts.c.link_epoch + 1,
        link_node=None,
        link_changed_at=case((away, carts.c.link_changed_at), else_=tx.steady),
        link_changed_wall=case((away, carts.c.link_changed_wall), else_=tx.now),
    )  # fmt: skip
    return tx.connection.execute(withdrawn).rowcount == 1


def behind(connection: Connection, node: str) -> dict[int, int]:
    """Return this node's carts with queued commands, and the newest seq of each. One indexed query, whatever the
    history."""
    rows = connection.execute(
        select(commands.c.cart_id, func.max(commands.c.seq).label("newest"))
        .join(carts, carts.c.id == commands.c.cart_id)
        .where(OUTSTANDING, commands.c.state == CommandState.QUEUED, carts.c.link_node == node)
        .group_by(commands.c.cart_id)
    )
    return {row.cart_id: row.newest for row in rows}


def busy_carts(connection: Connection, node: str) -> set[int]:
    """Return the node's carts that are in use."""
    return set(
        connection.scalars(select(carts.c.id).where(carts.c.link_node == node, carts.c.status == CartStatus.IN_USE))
    )


def changed_hands(connection: Connection, since: int) -> list[Owner]:
    """Return who owns each cart whose link was claimed, released or withdrawn since then (steady)."""
    return _owners(connection, _OWNERS.where(carts.c.link_changed_at >= since))


def owners_of(connection: Connection, cart_ids: Collection[int]) -> list[Owner]:
    """Return who owns each of these carts, whenever its link changed."""
    return _owners(connection, _OWNERS.where(carts.c.id.in_(cart_ids))) if cart_ids else []


def held_by(connection: Connection, node: str, after_id: int, limit: int) -> list[Owner]:
    """Return the carts whose rows name this node as the owner, `limit` of them from the one after `after_id`."""
    of_node = _OWNERS.where(carts.c.link_node == node, carts.c.id > after_id).order_by(carts.c.id).limit(limit)
    return _owners(connection, of_node)


def _owners(connection: Connection, asked: Select[tuple[int, int, str | None]]) -> list[Owner]:
    return [Owner(row.cart_id, row.epoch, row.node) for row in connection.execute(asked)]
