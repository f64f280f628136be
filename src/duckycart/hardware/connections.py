"""The database keeps the last connections of each cart, and how often it was refused: a cart that flaps is seen at
once."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import structlog
from sqlalchemy import Connection, bindparam, func, select, update
from sqlalchemy.dialects.postgresql import insert  # SQLite's "ON CONFLICT" is word for word the same

from duckycart.errors import DuckyCartError
from duckycart.hardware.ending import Ended, Gone, Refused
from duckycart.lifecycle.carts import Cart
from duckycart.store.tables import CONNECTIONS_KEPT, carts, connections, refusals
from duckycart.store.transaction import Store, Transaction

log = structlog.get_logger()

REFUSALS_WAITING: Final = 1000  # (cart, reason) counted between two writes; more are in the log only

# What an operator can mend. What the server itself was short of is in its log, and not the cart's.
_OF_THE_CART: Final = frozenset(
    {Refused.BAD_REQUEST, Refused.NO_KEY, Refused.DISABLED, Refused.WRONG_KEY, Refused.TOO_OFTEN}
)

_new = insert(connections)
# One row per connection in a ring: the newest takes the place of the oldest, so a cart that flaps for a year has no
# more of them than any other. RETURNING makes one statement of a whole batch.
_BEGAN: Final = _new.on_conflict_do_update(
    index_elements=[connections.c.cart_id, connections.c.place],
    set_={column.name: getattr(_new.excluded, column.name) for column in connections.columns if not column.primary_key},
).returning(connections.c.cart_id)
_ENDED: Final = (
    update(connections)
    .where(
        connections.c.cart_id == bindparam("cart"),
        connections.c.place == bindparam("at_place"),
        connections.c.epoch == bindparam("of_epoch"),  # its place may be another's by now
    )
    .values(
        # Not the clock, which may have been corrected, or the database away: how long it lasted was measured.
        until=connections.c.since + bindparam("milliseconds"),
        reason=bindparam("why"),
        close_code=bindparam("code"),
        commands_sent=bindparam("sent"),
        commands_received=bindparam("received"),
    )
)
_counted = insert(refusals)
_REFUSED: Final = _counted.from_select(
    ["cart_id", "reason", "times", "last_at", "address"],
    select(
        carts.c.id,
        bindparam("why", type_=refusals.c.reason.type),
        bindparam("count", type_=refusals.c.times.type),
        bindparam("at", type_=refusals.c.last_at.type),
        bindparam("address", type_=refusals.c.address.type),
    ).where(carts.c.id == bindparam("cart")),
).on_conflict_do_update(
    index_elements=[refusals.c.cart_id, refusals.c.reason],
    set_={
        "times": refusals.c.times + _counted.excluded.times,
        "last_at": _counted.excluded.last_at,
        "address": _counted.excluded.address,
    },
)


def began(tx: Transaction, claimed: Iterable[Cart], addresses: Mapping[int, str | None]) -> None:
    """Write down a new connection of each of these carts, which are locked, with the address that it comes from."""
    rows = [
        {
            "cart_id": cart.id,
            "place": cart.link_epoch % CONNECTIONS_KEPT,
            "epoch": cart.link_epoch,
            "node": cart.link_node,
            "address": addresses.get(cart.id),
            "since": tx.now,
        }
        for cart in sorted(claimed, key=lambda cart: cart.id)
    ]
    if rows:
        tx.connection.execute(_BEGAN, rows).close()


def ended(tx: Transaction, links: Iterable[Gone]) -> None:
    """Write down how the connections of these links ended; nothing for one whose ending no process knows.

    Rows are locked in the order of their carts; a caller that also locks the carts' own rows does that first.
    """
    rows = [
        {
            "cart": gone.cart_id,
            "at_place": gone.epoch % CONNECTIONS_KEPT,
            "of_epoch": gone.epoch,
            "milliseconds": gone.ending.milliseconds,
            "why": gone.ending.reason.value,
            "code": gone.ending.code,
            "sent": gone.ending.sent,
            "received": gone.ending.received,
        }
        for gone in sorted(links, key=lambda gone: (gone.cart_id, gone.epoch))
        if gone.ending is not None
    ]
    if rows:
        tx.connection.execute(_ENDED, rows)


@dataclass(frozen=True, slots=True)
class PastConnection:
    """One connection, as its row says; `until` and `reason` are None while it lasts."""

    epoch: int
    node: str
    address: str | None
    since: int
    until: int | None
    reason: Ended | None
    close_code: int | None
    commands_sent: int | None
    commands_received: int | None


@dataclass(frozen=True, slots=True)
class PastRefusal:
    """How often a cart was not let in for this reason, and when and from where for the last time."""

    reason: Refused
    times: int
    last_at: int
    address: str | None


def last_connections(connection: Connection, cart_id: int) -> list[PastConnection]:
    """Return the cart's connections, the newest first, CONNECTIONS_KEPT at the most.

    A process that is killed writes no end. So a row without one is that of a connection which lasts only if the cart's
    row still names it; else its reason is NODE_GONE, and its end, at the latest, the beginning of the next or the
    moment in which the cart was released.
    """
    cart = connection.execute(
        select(
            carts.c.link_epoch,
            carts.c.link_node,
            func.coalesce(carts.c.link_changed_wall, carts.c.link_changed_at).label("changed"),
        ).where(carts.c.id == cart_id)
    ).one_or_none()
    rows = connection.execute(
        select(connections).where(connections.c.cart_id == cart_id).order_by(connections.c.epoch.desc())
    ).all()
    found: list[PastConnection] = []
    next_since = None if cart is None or cart.link_node is not None else cart.changed
    for row in rows:
        until, reason = row.until, row.reason
        lasts = cart is not None and cart.link_node is not None and cart.link_epoch == row.epoch
        if reason is None and not lasts:
            until, reason = max(row.since, next_since or row.since), Ended.NODE_GONE
        found.append(
            PastConnection(
                epoch=row.epoch,
                node=row.node,
                address=row.address,
                since=row.since,
                until=until,
                reason=None if reason is None else Ended(reason),
                close_code=row.close_code,
                commands_sent=row.commands_sent,
                commands_received=row.commands_received,
            )
        )
        next_since = row.since
    return found


def past_refusals(connection: Connection, cart_id: int) -> list[PastRefusal]:
    """Return why the cart was refused, and how often, the latest reason first."""
    rows = connection.execute(
        select(refusals.c.reason, refusals.c.times, refusals.c.last_at, refusals.c.address)
        .where(refusals.c.cart_id == cart_id)
        .order_by(refusals.c.last_at.desc(), refusals.c.reason)
    ).all()
    return [PastRefusal(Refused(row.reason), row.times, row.last_at, row.address) for row in rows]


class Refusals:
    """Counts whom this node refuses; the sweep writes the counts. A cart can be refused hundreds of times a second, so
    no single refusal is worth a transaction."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._times: Counter[tuple[int, Refused]] = Counter()
        self._address: dict[tuple[int, Refused], str | None] = {}  # of the last one

    def __len__(self) -> int:
        return len(self._times)

    def add(self, cart_id: int, why: Refused, address: str | None) -> None:
        """Count a refusal, if its reason is the cart's own matter and there is room."""
        key = cart_id, why
        if why in _OF_THE_CART and (key in self._times or len(self._times) < REFUSALS_WAITING):
            self._times[key] += 1
            self._address[key] = address

    async def write(self) -> None:
        """Add the counts to the rows of carts that exist. Counts that the database refuses are forgotten: the log has
        them."""
        if not self._times:
            return
        times, self._times = self._times, Counter()
        address, self._address = self._address, {}

        def add_up(tx: Transaction) -> None:
            tx.connection.execute(
                _REFUSED,
                [
                    {"cart": cart_id, "why": why.value, "count": count, "at": tx.now, "address": address[cart_id, why]}
                    for (cart_id, why), count in sorted(times.items())
                ],
            )

        try:
            await self._store.write(add_up, hurry=False)
        except DuckyCartError as error:
            log.warning("refusals not counted", count=sum(times.values()), reason=error.code)
