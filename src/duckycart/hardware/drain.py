"""The end of a node among others: its carts are sent to them a few at a time, those that are idle first."""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog
from sqlalchemy import Connection, select

from duckycart.errors import DuckyCartError
from duckycart.hardware.dispatch import Dispatch
from duckycart.hardware.link import RESTART
from duckycart.store.engine import Store
from duckycart.store.tables import carts

log = structlog.get_logger()

BATCHES_PER_SECOND: Final = 10
PROGRESS_SECONDS: Final = 10.0


def busy_carts(connection: Connection, node: str) -> set[int]:
    """Those of the node's carts that are in use."""
    of_node = select(carts.c.id).where(carts.c.link_node == node, carts.c.status == "in_use")
    return set(connection.scalars(of_node))


async def drain(dispatch: Dispatch, store: Store, per_second: int, hurried: Callable[[], bool]) -> None:
    """Close every cart's connection with 1012, at most `per_second` of them; returns when that is done.

    A cart comes back at once, to another node, which has to claim it: the pace is what the others can bear. `hurried`
    is asked between batches; when it says yes the rest is left to whoever closes everything at once.
    """
    try:
        busy = await store.read(lambda connection: busy_carts(connection, dispatch.node))
    except DuckyCartError as error:
        log.warning("idle carts not known, all are closed alike", reason=error.code)
        busy = set()
    waiting = sorted(dispatch.links.epochs(), key=lambda cart_id: cart_id in busy)
    batch = max(1, per_second // BATCHES_PER_SECOND)
    loop = asyncio.get_running_loop()
    said_at = loop.time()
    for begin in range(0, len(waiting), batch):
        if hurried():
            return
        for cart_id in waiting[begin : begin + batch]:
            connection = dispatch.links.current(cart_id)
            if connection is not None:
                connection.close(RESTART, "the server restarts")
        if loop.time() - said_at >= PROGRESS_SECONDS:
            said_at = loop.time()
            log.info("draining", closed=begin + batch, of=len(waiting))
        await asyncio.sleep(batch / per_second)
