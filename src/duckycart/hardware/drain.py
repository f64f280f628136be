"""A node that ends among others sends its carts to them a few at a time, those that are idle first."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

import structlog

from duckycart.errors import DuckyCartError
from duckycart.hardware.dispatch import Dispatch
from duckycart.hardware.ending import Ended
from duckycart.hardware.ownership import busy_carts
from duckycart.store.transaction import Store

log = structlog.get_logger()

BATCHES_PER_SECOND: Final = 10
PROGRESS_SECONDS: Final = 10.0
PATIENCE_SECONDS: Final = 5.0  # with the receipts of the last cart; one that does not answer now may be dead


async def drain(dispatch: Dispatch, store: Store, per_second: int, hurried: Callable[[], bool]) -> None:
    """Close every cart's connection with 1012, at most `per_second` of them; returns when that is done.

    A cart comes back at once, to another node, which has to claim it: the pace is what the others can bear. One that
    has just been sent a command is closed when its receipt is written, or the other node would send it again;
    PATIENCE_SECONDS at the most. `hurried` is asked between batches; when it says yes the rest is left to whoever
    closes everything at once.
    """
    try:
        busy = await store.read(lambda connection: busy_carts(connection, dispatch.node))
    except DuckyCartError as error:
        log.warning("idle carts not known, all are closed alike", reason=error.code)
        busy = set()
    waiting = deque(sorted(dispatch.links.epochs(), key=lambda cart_id: cart_id in busy))
    batch = max(1, per_second // BATCHES_PER_SECOND)
    loop = asyncio.get_running_loop()
    patient_until = loop.time() + len(waiting) / per_second + PATIENCE_SECONDS
    logged_at = loop.time()
    while waiting and not hurried():
        for _ in range(min(batch, len(waiting))):
            cart_id = waiting.popleft()
            connection = dispatch.links.current(cart_id)
            if connection is None:
                continue
            if dispatch.receipts.has_all(connection.link) or loop.time() > patient_until:
                connection.close(Ended.DRAINED)
            else:
                waiting.append(cart_id)
        if loop.time() - logged_at >= PROGRESS_SECONDS:
            logged_at = loop.time()
            log.info("draining", carts_left=len(waiting))
        await asyncio.sleep(batch / per_second)
