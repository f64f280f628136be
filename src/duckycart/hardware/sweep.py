"""What makes every hint dispensable: of this node's carts, which are behind, and which belong to somebody else by now?

If every message between commit and link were lost, this alone would deliver everything, a few seconds late.
"""

from typing import Final

import structlog

from duckycart.clock import Clock
from duckycart.errors import DuckyCartError
from duckycart.hardware.catchup import behind, changed_hands, take_back
from duckycart.hardware.dispatch import Dispatch
from duckycart.hardware.link import TAKEN_OVER, WITHDRAWN_OR_FLOOD
from duckycart.store.engine import Store

log = structlog.get_logger()

SWEEP_SECONDS: Final = 2.0
OVERLAP_MS: Final = 60_000  # how far nodes' clocks and long transactions may disagree with ours


class Sweep:
    """Looks at the store every SWEEP_SECONDS; cheap when nothing is wrong."""

    def __init__(self, store: Store, clock: Clock, dispatch: Dispatch) -> None:
        self._store = store
        self._clock = clock
        self._dispatch = dispatch
        self._since = 0  # of the last sweep that succeeded

    async def __call__(self) -> None:
        started = self._clock.now()
        since = min(self._since, started) - OVERLAP_MS  # the machine's clock may have been set back
        try:
            await self._compare_owners(since)
            lagging = await self._store.read(lambda connection: behind(connection, self._dispatch.node))
        except DuckyCartError as error:
            log.warning("sweep failed", reason=error.code)
            return
        self._since = started
        for cart_id, seq in lagging.items():
            connection = self._dispatch.links.current(cart_id)
            if connection is not None:
                connection.behind(seq)
        self._dispatch.claims.release_again()

    async def _compare_owners(self, since: int) -> None:
        """Links that are not this node's any more close; those that are nobody's, because other nodes took this one
        for dead, are its own again."""
        given_up: dict[int, int] = {}
        for cart_id, epoch, node in await self._store.read(lambda connection: changed_hands(connection, since)):
            connection = self._dispatch.links.current(cart_id)
            if connection is None or connection.link.epoch > epoch:
                continue
            if connection.link.epoch == epoch:
                if node is None:
                    given_up[cart_id] = epoch
            elif node is None:
                connection.close(WITHDRAWN_OR_FLOOD, "the cart's key was changed or the cart disabled")
            else:
                connection.close(TAKEN_OVER, "a newer connection of this cart took over")
        if given_up:
            log.warning("links taken back, this node was given up", links=len(given_up))
            await self._store.write(lambda tx: take_back(tx, given_up, self._dispatch.node))
