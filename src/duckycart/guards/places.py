"""The server has a bounded number of places for connections, and here is chosen who gives one up: free of I/O.

Only `abort` of whoever has to go is called. Descriptors are few (160 on some small machines), and anybody who reaches
the port can open connections. Carts come first: a cart that was let in is never sent away, and half of all places is
for carts alone.
"""

import resource
from collections.abc import Callable, Iterator
from typing import Final, Protocol

import structlog

from duckycart.guards.crowd import Crowd

log = structlog.get_logger()

SHORT_SECONDS: Final = 60.0  # for which `short` says so after the last time, and between two lines in the log


SPARE_FILES: Final = 64  # descriptors for the database, the log, the bus, and what is about to be closed


def descriptors() -> int:
    """Return how many connections the process may have open, by the limit that it has now."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(4, (1_048_576 if soft == resource.RLIM_INFINITY else soft) - SPARE_FILES)


class Guest(Protocol):
    """A connection, as an asyncio transport provides it."""

    def abort(self) -> None: ...


class Places:
    """The places of one server, and the connections that have them.

    Each connection is a stranger until its first bytes tell whether it is a guest or knocks as a cart, and a cart when
    it was admitted as one. Only a connection that is idle, which is to say waits for its other side, is sent away for
    another, and of these whoever came first from the address that has most.
    """

    def __init__(self, places: int, per_address: int, monotonic: Callable[[], float]) -> None:
        self.places = places
        self._for_guests = max(1, places // 2)
        self._per_address = per_address
        self._monotonic = monotonic
        self._crowd: Crowd[Guest] = Crowd()  # strangers and guests, by address
        self._guests: set[Guest] = set()  # of these
        self._knocking: Crowd[Guest] = Crowd()  # by address: carts come all at once, and through one proxy
        self._carts: set[Guest] = set()
        self._idle: dict[Guest, Callable[[], bool]] = {}  # of all but carts
        self._short_at: float | None = None  # when somebody last found no place
        self._logged_at: float | None = None  # when the log last said so

    def __len__(self) -> int:
        return len(self._idle) + len(self._carts)

    @property
    def short(self) -> bool:
        """Whether, in the last SHORT_SECONDS, somebody found no place or had to give one up."""
        return self._short_at is not None and self._monotonic() - self._short_at < SHORT_SECONDS

    @property
    def full(self) -> bool:
        """Whether there is no place for one more cart, and nobody who could give one up."""
        return len(self) >= self.places and next(self._to_go(self._anybody()), None) is None

    def enter(self, stranger: Guest, address: str, idle: Callable[[], bool], *, bounded: bool = True) -> None:
        """Give a new connection a place; somebody may have to go for it, and be it the newcomer. `bounded` is False for
        a proxy, which speaks for many. `idle` tells whether the connection waits for its other side."""
        self._crowd.add(stranger, address)
        self._idle[stranger] = idle
        if bounded and self._crowd.size(address) > self._per_address:
            self._send_away(stranger, self._crowd.members(address), "connections of one address", address)
        elif len(self) > self.places:
            self._send_away(stranger, self._anybody(), "connections", address)

    def settle(self, guest: Guest, idle: Callable[[], bool]) -> bool:
        """Count a connection as a guest, now that it is known to be no cart's. Returns False if there is no place for a
        guest: then the caller sends it away."""
        if guest not in self._crowd:
            return False
        self._idle[guest] = idle
        self._guests.add(guest)
        if len(self._guests) <= self._for_guests:
            return True
        guests = (other for other in self._crowd.in_turn() if other in self._guests)
        return self._send_away(guest, guests, "connections that are no carts")

    def knock(self, cart: Guest) -> None:
        """Note that a stranger asks for a cart's place: from now on it is not counted among the guests and strangers of
        its address."""
        if cart in self._crowd:
            self._knocking.add(cart, self._crowd.discard(cart))

    def admit(self, cart: Guest) -> None:
        """Make the connection a cart's, which is never sent away."""
        self.leave(cart)
        self._carts.add(cart)

    def leave(self, anybody: Guest) -> None:
        """Free the place of a connection that has ended."""
        self._crowd.discard(anybody)
        self._guests.discard(anybody)
        self._knocking.discard(anybody)
        self._carts.discard(anybody)
        self._idle.pop(anybody, None)

    def ran_short(self, of: str, address: str | None = None) -> None:
        """Note that places ran out, and write so to the log once in SHORT_SECONDS."""
        now = self._short_at = self._monotonic()
        if self._logged_at is None or now - self._logged_at >= SHORT_SECONDS:
            self._logged_at = now
            log.warning("too many connections", of=of, open=len(self), places=self.places, address=address)

    def make_room(self) -> None:
        """Send somebody away because the process has no descriptor left, whatever was counted."""
        if (guest := next(self._to_go(self._anybody()), None)) is not None:
            self._go(guest)

    def _anybody(self) -> Iterator[Guest]:
        yield from self._crowd.in_turn()
        yield from self._knocking.in_turn()

    def _to_go(self, in_turn: Iterator[Guest]) -> Iterator[Guest]:
        return (guest for guest in in_turn if self._idle[guest]())

    def _send_away(self, newcomer: Guest, in_turn: Iterator[Guest], of: str, address: str | None = None) -> bool:
        """Send away the first idle one of `in_turn`, or else the newcomer. Returns False if it is the newcomer who has
        to go: a stranger is closed at once, a guest by the caller."""
        self.ran_short(of, address)
        guest = next((guest for guest in self._to_go(in_turn) if guest is not newcomer), newcomer)
        if guest is newcomer and guest in self._guests:
            return False
        self._go(guest)
        return guest is not newcomer

    def _go(self, guest: Guest) -> None:
        self.leave(guest)
        guest.abort()
