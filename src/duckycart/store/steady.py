"""The shop's steady clock: every decision of how long something lasted is made by it, never by the time of day.

It counts milliseconds that really passed, and no correction of any machine's clock bends it. Between two runs it goes
on from a row of the database: by the machine's own uptime while that machine was not started anew, else from where it
stood. What passed while the machine was off cannot be known and does not count: things live longer by it, and nothing
ends early. After a power cut it may begin again some seconds before where it stood, so a stamp may lie a little ahead.

It began at the time of day. So what was written before there was a steady clock, or is written by a server of the
version before beside this one, can be compared with it.
"""

import threading
from typing import Final

from sqlalchemy import Connection, bindparam, case, insert, select, update

from duckycart.clock import MachineClock
from duckycart.store.engine import Transaction
from duckycart.store.tables import steady_clock

_ROW: Final = select(steady_clock.c.ms, steady_clock.c.boot_id, steady_clock.c.boot_ms)
_KEEP: Final = (
    update(steady_clock)
    .values(
        ms=case((steady_clock.c.ms < bindparam("own"), bindparam("own")), else_=steady_clock.c.ms),
        boot_id=bindparam("boot"),
        boot_ms=bindparam("uptime"),
    )
    .returning(steady_clock.c.ms)
)


class SteadyClock:
    """A `Clock` with a steady hand. Made for one process; may be read in every thread."""

    def __init__(self, machine: MachineClock) -> None:
        self._machine = machine
        self._lock = threading.Lock()
        self._stood: tuple[int, int] | None = None  # where it stood at which uptime; None before the row was read

    def now(self) -> int:
        return self._machine.now()

    def monotonic(self) -> float:
        return self._machine.monotonic()

    def steady(self) -> int:
        """Milliseconds of the steady clock, which never go back. Only once the row was read."""
        assert self._stood is not None, "the row of the steady clock was not read yet"
        ms, uptime = self._stood
        return ms + self._machine.uptime() - uptime

    def read(self, connection: Connection) -> int:
        """The same, after reading the row if that was not done yet."""
        if self._stood is None:
            self._resume(connection)
        return self.steady()

    def keep(self, tx: Transaction) -> int:
        """Write where it stands, and go on from the row where that is ahead: so do all servers of a database, and
        agree. Returns where it then stands. To be called now and then, and at the end."""
        uptime = self._machine.uptime()
        own = {"own": self.read(tx.connection), "boot": self._machine.boot_id, "uptime": uptime}
        ms = tx.connection.execute(_KEEP, own).scalar_one_or_none()
        if ms is None:
            row = {"id": 1, "ms": own["own"], "boot_id": own["boot"], "boot_ms": uptime}
            tx.connection.execute(insert(steady_clock).values(row))
        else:
            with self._lock:
                if ms > self.steady():
                    self._stood = ms, uptime
        return self.steady()

    def _resume(self, connection: Connection) -> None:
        row = connection.execute(_ROW).one_or_none()
        with self._lock:
            if self._stood is not None:
                return  # another thread was quicker
            uptime = self._machine.uptime()
            if row is None:
                self._stood = self._machine.now(), uptime
            elif row.boot_id is not None and row.boot_id == self._machine.boot_id:
                self._stood = row.ms + max(0, uptime - row.boot_ms), uptime
            else:
                self._stood = row.ms, uptime
