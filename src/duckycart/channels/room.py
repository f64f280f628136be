"""The number of listeners is bounded, and here is chosen who has to go when there are too many."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from duckycart.channels.listener import End, Listener
from duckycart.guards.crowd import Crowd
from duckycart.refusals import TOO_MANY_LISTENERS

Name = tuple[Literal["session", "cart"], int]


@dataclass(slots=True)
class Room:
    """Listeners are bounded three ways: for one session or cart, for one address, and in all.

    Over a bound whoever takes most gives up first: of one session's listeners the address that has most of them, of one
    address's the session that has most. So a shop's Wi-Fi, which is one address, loses no screen to a guest in it.
    """

    per_topic: int
    per_address: int
    in_all: int
    ran_short: Callable[[str, str], None]  # of what, and who came
    count: Callable[[str], None]  # raises TooManyRequests when one comes again and again
    _topics: dict[Name, Crowd[Listener]] = field(default_factory=dict)  # by address
    _addresses: dict[str, Crowd[Listener]] = field(default_factory=dict)  # by topic
    _all: Crowd[Listener] = field(default_factory=Crowd)  # by address
    _leave: dict[Listener, Callable[[], None]] = field(default_factory=dict)

    def enter(self, listener: Listener, topic: Name, address: str) -> None:
        """Take one more listener in, and send another away where it needs the place. Raises TooManyRequests if the
        newcomer is the one to go, or if too many came in the last minute."""
        self.count(f"{topic[0]} {topic[1]} {address}")
        of_topic = self._topics.get(topic) or Crowd()
        of_address = self._addresses.get(address) or Crowd()
        if len(of_topic) >= self.per_topic:
            self._make_room(of_topic.to_make_room_for(address), topic, address)
        if len(of_address) >= self.per_address:
            self._make_room(of_address.to_make_room_for(topic), topic, address)
        if len(self._all) >= self.in_all:
            self._make_room(self._all.to_make_room_for(address), topic, address)
        self._topics.setdefault(topic, Crowd()).add(listener, address)
        self._addresses.setdefault(address, Crowd()).add(listener, topic)
        self._all.add(listener, address)
        self._leave[listener] = lambda: self._take_out(listener, topic, address)

    def leave(self, listener: Listener) -> None:
        """Free the place of a listener that is gone; does nothing when it has none."""
        if (take_out := self._leave.pop(listener, None)) is not None:
            take_out()

    def _make_room(self, listener: Listener | None, topic: Name, address: str) -> None:
        self.ran_short(f"listeners ({topic[0]} {topic[1]})", address)
        if listener is None:
            raise TOO_MANY_LISTENERS()
        listener.finish(End.CROWDED)
        self.leave(listener)

    def _take_out(self, listener: Listener, topic: Name, address: str) -> None:
        self._all.discard(listener)
        self._topics[topic].discard(listener)
        if not self._topics[topic]:
            del self._topics[topic]
        self._addresses[address].discard(listener)
        if not self._addresses[address]:
            del self._addresses[address]
