"""The sweep makes every hint dispensable: it finds this node's carts that are behind, or another node's by now.

If every message between commit and link were lost, this alone would deliver everything, a few seconds late.
"""

from typing import Final

import structlog
from sqlalchemy import Connection

from duckycart.errors import DuckyCartError
from duckycart.hardware.connect import Connector
from duckycart.hardware.dispatch import Dispatch
from duckycart.hardware.ending import Ended
from duckycart.hardware.ownership import Owner, behind, changed_hands, held_by, owners_of, take_back
from duckycart.store.transaction import Store

log = structlog.get_logger()

SWEEP_SECONDS: Final = 2.0
SLICE: Final = 500  # carts; 50,000 are gone through in some three minutes
OVERLAP_MS: Final = 60_000  # how far other nodes' readings and long transactions may lie behind ours


class Sweep:
    """Looks at the store every SWEEP_SECONDS; cheap when nothing is wrong."""

    def __init__(self, store: Store, connector: Connector, dispatch: Dispatch) -> None:
        self._store = store
        self._connector = connector
        self._dispatch = dispatch
        self._since = 0  # of the last sweep that succeeded
        self._compared = 0  # the cart up to which links were compared with rows, whenever these changed
        self._accounted = 0  # the cart up to which rows that name this node were compared with links

    async def __call__(self) -> None:
        started = self._store.clock.steady()
        since = self._since - OVERLAP_MS
        try:
            await self._compare_owners(await self._store.read(lambda connection: changed_hands(connection, since)))
            await self._compare_owners(await self._next_slices())
            lagging = await self._store.read(lambda connection: behind(connection, self._dispatch.node))
        except DuckyCartError as error:
            log.warning("sweep failed", reason=error.code)
            return
        self._since = started
        for cart_id, seq in lagging.items():
            connection = self._dispatch.links.current(cart_id)
            if connection is not None:
                connection.behind(seq)
        self._dispatch.fill_again()
        self._connector.claims.release_again()
        await self._connector.refusals.write()

    async def _next_slices(self) -> list[Owner]:
        """Look at some of all carts, in turn: nothing may depend on clocks that agree, or on one moment."""
        own = sorted(self._dispatch.links.epochs())
        ids = [cart_id for cart_id in own if cart_id > self._compared][:SLICE]
        after = self._accounted

        def look(connection: Connection) -> tuple[list[Owner], list[Owner]]:
            return owners_of(connection, ids), held_by(connection, self._dispatch.node, after, SLICE)

        of_links, of_rows = await self._store.read(look)
        self._compared = ids[-1] if len(ids) == SLICE else 0
        self._accounted = of_rows[-1].cart_id if len(of_rows) == SLICE else 0
        return of_links + of_rows

    async def _compare_owners(self, owners: list[Owner]) -> None:
        """Compare links with what the rows say. Links that are not this node's any more close. Those that are nobody's,
        because other nodes took this one for dead, are its own again; carts whose rows name this node, and that have no
        link to it, are released."""
        given_up: dict[int, int] = {}
        links = self._dispatch.links
        for owner in owners:
            connection = links.current(owner.cart_id)
            if connection is not None and connection.link.epoch < owner.epoch:
                connection.close(Ended.WITHDRAWN if owner.node is None else Ended.TAKEN_OVER)
            elif connection is not None and connection.link.epoch == owner.epoch and owner.node is None:
                given_up[owner.cart_id] = owner.epoch
            linked = connection is not None and connection.link.epoch >= owner.epoch
            if owner.node == self._dispatch.node and not linked and not links.is_claiming(owner.cart_id):
                self._connector.claims.release(owner.cart_id, owner.epoch)
        if given_up:
            log.warning("links taken back, this node was given up", links=len(given_up))
            await self._store.write(lambda tx: take_back(tx, given_up, self._dispatch.node))
