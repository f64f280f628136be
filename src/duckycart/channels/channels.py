"""This module knows who listens to what in this process, and brings news to them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import structlog

from duckycart.bus.protocol import Bus
from duckycart.channels.listener import End, Listener
from duckycart.channels.room import Name, Room
from duckycart.channels.topic import Topic
from duckycart.clock import Clock
from duckycart.effects import News, NewsKind
from duckycart.lifecycle.news import missed_news, starts_of_sessions
from duckycart.lifecycle.screens import changed_screens
from duckycart.store.transaction import Store

log = structlog.get_logger()

HEARTBEAT_SECONDS: Final = 15.0  # of silence, then a stream says that it lives
OVERLAP_MS: Final = 60_000  # how far readings and long transactions of others may lie behind ours


class Channels:
    """The sockets and streams open here, by what they listen to; each committed piece of news is offered to those it
    concerns.

    Everything here runs in the event loop. News comes after the commit and after the cart's command; that of other
    nodes comes over the bus.
    """

    def __init__(self, store: Store, clock: Clock, bus: Bus, room: Room) -> None:
        self._store = store
        self._clock = clock
        self._bus = bus
        self._room = room
        self._topics: dict[Name, Topic] = {}
        self._stopping = False
        self._since = store.clock.steady()  # of the last sweep that succeeded; nobody listens yet

    def __len__(self) -> int:
        return sum(len(topic.listeners) for topic in self._topics.values())

    @contextmanager
    def listening(self, name: Name, address: str, key: str | None = None) -> Iterator[Listener]:
        """Register one more listener, for the time of the block. Raises TooManyRequests when too many listen.

        Enter the block before reading the present state, and call `opened` then: what happens after that is heard.
        While the server stops, a listener hears the present and its end: fielded screens, and browsers with a stream,
        come back after what had opened, and never after a refusal (F69).
        """
        listener = Listener(self._clock.monotonic(), key)
        self._room.enter(listener, name, address)
        topic = self._topics.setdefault(name, Topic())
        topic.listeners.add(listener)
        if self._stopping:
            listener.finish(End.STOPPING)
        try:
            yield listener
        finally:
            self._log_left(name, listener)
            self._room.leave(listener)
            topic.listeners.discard(listener)  # this very one (F19)
            if not topic.listeners:
                del self._topics[name]

    def opened(self, name: Name, listener: Listener, present: News | None) -> None:
        """Note that the listener, when it came, was sent `present` as the state of its topic; None when there was
        nothing to send."""
        listener.since = self._clock.monotonic()
        self._topics[name].opened(listener, present)

    def tell(self, news: News) -> None:
        """Offer news to all listeners that it concerns, of this node and of the others, in the order of the session's
        versions."""
        self.heard(news)
        self._bus.tell_others(news)

    def heard(self, news: News) -> None:
        """Offer news, of this node or another, to those listeners of this node that it concerns."""
        if (topic := self._topics.get(_name(news))) is not None:
            self._offer(topic, topic.next(news))

    def _offer(self, topic: Topic, due: list[News]) -> None:
        now = self._clock.monotonic()
        for news in due:
            for listener in topic.hearing(news):
                if listener.offer(news, now):
                    log.warning("listener dropped, it does not read", cart=news.cart_id, session=news.session_id)

    def tick(self) -> None:
        """Send heartbeats, and close listeners whose session ended a while ago. Called once a second."""
        now = self._clock.monotonic()
        for listener in self._all():
            if listener.closes_at is not None and now >= listener.closes_at:
                listener.finish(End.OVER)
            elif now - listener.heard_at >= HEARTBEAT_SECONDS:
                listener.offer(None, now)

    async def sweep(self) -> None:
        """Find in the database what nobody told this process: news of other nodes that was lost, keys of screens
        changed in a shell."""
        await self._sweep_news()
        await self._sweep_screens()

    async def _sweep_news(self) -> None:
        versions = {name: topic.version for name, topic in self._topics.items()}
        sessions = {
            number: version for (kind, number), version in versions.items() if kind == "session" and version is not None
        }
        waiting_carts = [number for kind, number in versions if kind == "cart"]
        found: list[News] = []
        if sessions:
            found += await self._store.read(lambda connection: missed_news(connection, sessions))
        if waiting_carts:
            found += await self._store.read(lambda connection: starts_of_sessions(connection, waiting_carts))
        for news in found:
            if (topic := self._topics.get(_name(news))) is not None:
                self._offer(topic, topic.found(news))

    async def _sweep_screens(self) -> None:
        started = self._store.clock.steady()
        since = self._since - OVERLAP_MS
        for cart_id, key in await self._store.read(lambda connection: changed_screens(connection, since)):
            topic = self._topics.get(("cart", cart_id))
            for listener in () if topic is None else topic.listeners:
                if listener.key not in (None, key):
                    listener.finish(End.WITHDRAWN)
        self._since = started

    def _log_left(self, name: Name, listener: Listener) -> None:
        """Write into the log why a listener hears no more. One that was refused never heard anything."""
        if listener.since is not None:
            log.info(
                "screen disconnected",
                **{name[0]: name[1]},
                reason=str(listener.end or End.GONE),
                close_code=listener.close_code,
                seconds=round(self._clock.monotonic() - listener.since, 3),
            )

    def stop(self) -> None:
        """End all listeners, since the server stops and nobody is to wait for them."""
        self._stopping = True
        for listener in self._all():
            listener.finish(End.STOPPING)

    def _all(self) -> Iterator[Listener]:
        return (listener for topic in self._topics.values() for listener in topic.listeners)


def _name(news: News) -> Name:
    """Return what news is about: a session's start concerns those who listen to the cart, all else those of the
    session."""
    if news.kind is NewsKind.SESSION_STARTED:
        return "cart", news.cart_id
    return "session", news.session_id
