"""The shop's steady clock makes every decision of how long something lasted; the time of day makes none.

The steady clock counts milliseconds that really passed, and no correction of any machine's clock bends it. Between two
runs it goes on from a row of the database: by the machine's own uptime while that machine was not started anew, else
from where it stood. What passed while the machine was off cannot be known and does not count: things live longer by it,
and nothing ends early. After a power cut it may begin again some seconds before where it stood, so a stamp may lie a
little ahead.

Its first reading was the time of day. So what was written before there was a steady clock, or is written by a server of
the version before beside this one, can be compared with it.
"""

import threading
from typing import Final

from sqlalchemy import Connection, insert, select, update

from duckycart.clock import Clock, MachineClock
from duckycart.store.tables import steady_clock

_ROW: Final = select(steady_clock.c.ms, steady_clock.c.boot_id, steady_clock.c.boot_ms)
_LOCKED: Final = _ROW.with_for_update(skip_locked=True)  # nobody's beat may wait for a node that stands still


class _OfOneProcess:
    """A `MachineClock` of a clock that knows no machine."""

    boot_id = None

    def __init__(self, clock: Clock) -> None:
        self.now = clock.now
        self.monotonic = clock.monotonic

    def uptime(self) -> int:
        return round(self.monotonic() * 1000)


class SteadyClock:
    """A `Clock` that can also be read as the shop's steady clock. Made for one process; may be read in every thread."""

    def __init__(self, clock: Clock) -> None:
        """Make the steady clock of `clock`; if that is no `MachineClock`, it is only good for what passes in this
        process."""
        self._machine = clock if isinstance(clock, MachineClock) else _OfOneProcess(clock)
        self._lock = threading.Lock()
        self._stood: tuple[int, int] | None = None  # where it stood at which uptime; None before the row was read

    def now(self) -> int:
        return self._machine.now()

    def monotonic(self) -> float:
        return self._machine.monotonic()

    def steady(self) -> int:
        """Return the milliseconds of the steady clock, which never go back. Only after its row was read."""
        assert self._stood is not None, "the row of the steady clock was not read yet"
        ms, uptime = self._stood
        return ms + self._machine.uptime() - uptime

    def read(self, connection: Connection) -> int:
        """Return what `steady` does, after reading the clock's row if that was not done yet."""
        if self._stood is None:
            self._resume(connection)
        return self.steady()

    def keep(self, connection: Connection) -> int:
        """Write where the clock stands, in the transaction of this connection, or go on from the row where that is
        ahead: so all servers of a database agree. Returns where the clock then stands. To be called now and then, and
        at the end."""
        own, uptime = self.read(connection), self._machine.uptime()
        row = connection.execute(_LOCKED).one_or_none()
        writes = row is not None
        if row is None:
            row = connection.execute(_ROW).one_or_none()  # another server writes it just now, or there is none
        ms = own if row is None else max(own, row.ms)
        if writes or row is None:
            stands = {"ms": ms, "boot_id": self._machine.boot_id, "boot_ms": uptime}
            statement = (
                update(steady_clock).values(stands) if writes else insert(steady_clock).values(stands | {"id": 1})
            )
            connection.execute(statement)
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
