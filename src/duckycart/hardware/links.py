"""The registry knows which carts are connected to this node, and when each connection wants to be looked at."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Protocol

from duckycart.hardware.ending import Ended
from duckycart.hardware.link import Link, Send
from duckycart.wire import Command


class Connection(Protocol):
    """A link with its socket, as the registry and dispatch see it."""

    link: Link
    bucket: int  # where the registry's watch over deadlines has it

    @property
    def gone(self) -> bool: ...

    def offer(self, seq: int, command: Command) -> None: ...

    def behind(self, seq: int) -> None: ...

    def fill(self, rows: tuple[Send, ...], through: int) -> None: ...

    def probe(self) -> None: ...

    def tick(self) -> None: ...

    def close(self, why: Ended) -> None: ...


class Links:
    """The current connection of each cart, and the connections whose claim is under way. Removal is by identity
    (F02)."""

    def __init__(self) -> None:
        self._current: dict[int, Connection] = {}
        self._claiming: dict[int, list[Connection]] = {}
        self._buckets: defaultdict[int, set[Connection]] = defaultdict(set)  # by the second of their deadline

    def __len__(self) -> int:
        return len(self._current)

    @property
    def watched(self) -> int:
        """How many connections wait for a deadline. Only tests ask, to see that none was left behind."""
        return sum(map(len, self._buckets.values()))

    @property
    def claiming_count(self) -> int:
        """How many connections have a claim under way. Only tests ask, to wait for that moment."""
        return sum(map(len, self._claiming.values()))

    def current(self, cart_id: int) -> Connection | None:
        return self._current.get(cart_id)

    def epochs(self) -> dict[int, int]:
        """Return the epoch of each connected cart's link."""
        return {cart_id: connection.link.epoch for cart_id, connection in self._current.items()}

    def of(self, cart_id: int) -> Iterator[Connection]:
        """Yield each connection that must be offered a command of this cart, one whose claim is not answered yet
        too."""
        if (current := self._current.get(cart_id)) is not None:
            yield current
        yield from self._claiming.get(cart_id, ())

    def is_claiming(self, cart_id: int) -> bool:
        """Return whether a connection of this cart waits for its claim."""
        return cart_id in self._claiming

    def claiming(self, connection: Connection) -> None:
        """Register a connection, which holds what it is offered, before its claim is handed over: no command falls
        between."""
        self._claiming.setdefault(connection.link.cart_id, []).append(connection)

    def unclaim(self, connection: Connection) -> None:
        cart_id = connection.link.cart_id
        claiming = self._claiming.get(cart_id, [])
        if connection in claiming:
            claiming.remove(connection)
        if not claiming:
            self._claiming.pop(cart_id, None)

    def take(self, connection: Connection) -> Connection | None:
        """Make this connection, whose claim succeeded, the cart's current one. Returns whichever of the two must close:
        the older one, or this one if a newer claim was quicker."""
        self.unclaim(connection)
        older = self._current.get(connection.link.cart_id)
        if older is not None and older.link.epoch > connection.link.epoch:
            return connection
        self._current[connection.link.cart_id] = connection
        return older

    def remove(self, connection: Connection) -> None:
        """Forget a connection that is gone; a newer one of its cart stays."""
        cart_id = connection.link.cart_id
        self.unclaim(connection)
        if self._current.get(cart_id) is connection:
            del self._current[cart_id]
        if (bucket := self._buckets.get(connection.bucket)) is not None:
            bucket.discard(connection)
            if not bucket:
                del self._buckets[connection.bucket]

    def watch(self, connection: Connection, now: float) -> None:
        """Look at the connection again when its deadline may have come. Deadlines move on with every frame, buckets do
        not: a connection that turns out not to be due is simply watched again."""
        connection.bucket = int(connection.link.look_again_at(now)) + 1
        self._buckets[connection.bucket].add(connection)

    def due(self, now: float) -> list[Connection]:
        """Return the connections to look at now; they leave their buckets."""
        seconds = [second for second in self._buckets if second <= now]
        return [connection for second in seconds for connection in self._buckets.pop(second)]
