"""The log warns of nodes whose clocks disagree. Nothing is decided by these clocks (store/steady.py), but people read
them.

The database's own clock is the reference: each node writes by how much its own is ahead of that, with every beat.
"""

from collections.abc import Callable, Mapping
from typing import Final

import structlog
from sqlalchemy import text

from duckycart.clock import Clock
from duckycart.store.transaction import Transaction

log = structlog.get_logger()

DISAGREE_SECONDS: Final = 5.0  # what is less, nobody notices
AGAIN_SECONDS: Final = 600.0  # between two warnings of the same
PROMPT_SECONDS: Final = 1.0  # a database that answers later says nothing exact of its clock

_DATABASES_CLOCK: Final = text("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)")  # PostgreSQL


def ahead_of_database(tx: Transaction, clock: Clock) -> int | None:
    """Return by how many milliseconds the time of day is ahead of the database's; None when the answer took too
    long."""
    began, asked = clock.monotonic(), clock.now()
    reference: int = tx.connection.execute(_DATABASES_CLOCK).scalar_one()
    return None if clock.monotonic() - began > PROMPT_SECONDS else (asked + clock.now()) // 2 - reference


class Disagreements:
    """Logs of each other node that its clock and ours are apart: at once, again when that changes, and every
    AGAIN_SECONDS."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._warned: dict[str, tuple[float, float]] = {}  # of which node: how far apart, and when the log said so

    def compare(self, own: int | None, others: Mapping[str, int | None]) -> None:
        """Compare clocks, each given by how many milliseconds it is ahead of the database's; None where that is not
        known."""
        now = self._monotonic()
        for node in [node for node in self._warned if node not in others]:
            del self._warned[node]
        for node, ahead in others.items():
            if own is None or ahead is None:
                continue
            apart = (own - ahead) / 1000
            if abs(apart) <= DISAGREE_SECONDS:
                self._warned.pop(node, None)
                continue
            warned, at = self._warned.get(node, (0.0, now))
            if abs(apart - warned) > DISAGREE_SECONDS or now - at >= AGAIN_SECONDS:
                self._warned[node] = apart, now
                log.warning("clocks disagree, set them by NTP", other=node, ahead_of_it=round(apart),
                            ahead_of_database=round(own / 1000))  # fmt: skip
