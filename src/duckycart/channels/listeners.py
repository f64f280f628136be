"""Who listens to what, and what each has yet to be told."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from enum import Enum, auto
from typing import Final, Literal

import structlog

from duckycart.clock import Clock
from duckycart.errors import Unavailable
from duckycart.lifecycle.news import GRACE_SECONDS, News, NewsKind, news_of_ends
from duckycart.lifecycle.screens import changed_screens
from duckycart.store.engine import Store

log = structlog.get_logger()

MAX_WAITING: Final = 64  # pieces of news that one listener has not read; a whole session is about as many
HEARTBEAT_SECONDS: Final = 15.0  # of silence, then a stream says that it lives
OVERLAP_MS: Final = 60_000  # how far clocks and long transactions of others may disagree with ours

Topic = tuple[Literal["session", "cart"], int]


class End(Enum):
    """Why a listener hears no more."""

    OVER = auto()  # the session is, and its grace too
    WITHDRAWN = auto()  # the key that opened it is void
    GONE = auto()  # it went away
    TOO_SLOW = auto()  # it does not read
    STOPPING = auto()  # the server stops


class Listener:
    """One open socket or stream."""

    __slots__ = ("_changed", "_saying", "_waiting", "closes_at", "end", "heard_at", "key")

    def __init__(self, now: float, key: str | None = None) -> None:
        self._waiting: deque[News | None] = deque()  # None is a heartbeat
        self._changed = asyncio.Event()
        self._saying: asyncio.Timeout | None = None  # around a message that is being written
        self.end: End | None = None  # None while it listens
        self.key = key  # of a cart's screen: which key opened it; else None
        self.heard_at = now  # when something was last put in its way (monotonic)
        self.closes_at: float | None = None  # GRACE_SECONDS after its session's last word (monotonic)

    def offer(self, news: News | None, now: float) -> bool:
        """Put news, or a heartbeat, in its way. Never waits: a listener that does not read is dropped (F24).

        Returns whether this was what it was dropped for.
        """
        if self.end is not None or (news is not None and news.final and self.closes_at is not None):
            return False  # the last word is said once
        if len(self._waiting) == MAX_WAITING:
            self.finish(End.TOO_SLOW)
            return True
        if news is not None and news.final:
            self.closes_at = now + GRACE_SECONDS
        self.heard_at = now
        self._waiting.append(news)
        self._changed.set()
        return False

    def finish(self, end: End) -> None:
        """It hears no more; what it is slow to read now is given up."""
        if self.end is not None:
            return
        self.end = end
        self._changed.set()
        if self._saying is not None:
            self._saying.reschedule(0)  # long past

    async def listen(self, say: Callable[[News | None], Awaitable[None]]) -> End:
        """Say all that comes, in order, until the end; returns which it was."""
        while self.end is None:
            if not self._waiting:
                self._changed.clear()
                await self._changed.wait()
                continue
            try:
                async with asyncio.timeout(None) as self._saying:
                    await say(self._waiting.popleft())
            except TimeoutError:
                return End.TOO_SLOW  # whatever the reason: half a message may be written
            finally:
                self._saying = None
        return self.end


class Channels:
    """The listeners of this process. Told in the event loop, after the commit and after the cart's command."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._listeners: dict[Topic, set[Listener]] = {}
        self._stopping = False
        self._since = clock.now()  # of the last sweep that succeeded (milliseconds); nobody listens yet

    def __len__(self) -> int:
        return sum(map(len, self._listeners.values()))

    @contextmanager
    def listening(self, topic: Topic, key: str | None = None) -> Iterator[Listener]:
        """One more listener, for the time of the block. Raises Unavailable when the server stops.

        Enter it before reading the present state: what happens after that is heard.
        """
        if self._stopping:
            raise Unavailable("stopping", "The server is stopping.", retry_after=2)
        listener = Listener(self._clock.monotonic(), key)
        self._listeners.setdefault(topic, set()).add(listener)
        try:
            yield listener
        finally:
            others = self._listeners[topic]
            others.discard(listener)  # this very one (F19)
            if not others:
                del self._listeners[topic]

    def tell(self, news: News) -> None:
        """Everybody whom it concerns."""
        started = news.kind is NewsKind.SESSION_STARTED
        topic: Topic = ("cart", news.cart_id) if started else ("session", news.session_id)
        now = self._clock.monotonic()
        for listener in self._listeners.get(topic, ()):
            if listener.offer(news, now):
                log.warning("listener dropped, it does not read", to=topic[0], id=topic[1])

    def tick(self) -> None:
        """Once a second: heartbeats, and those whose session ended a while ago."""
        now = self._clock.monotonic()
        for listeners in self._listeners.values():
            for listener in listeners:
                if listener.closes_at is not None and now >= listener.closes_at:
                    listener.finish(End.OVER)
                elif now - listener.heard_at >= HEARTBEAT_SECONDS:
                    listener.offer(None, now)

    async def sweep(self) -> None:
        """What was done by somebody else (an operator's shell): sessions ended, keys of screens changed."""
        await self._sweep_ends()
        await self._sweep_screens()

    async def _sweep_ends(self) -> None:
        waiting = [
            number
            for (kind, number), listeners in self._listeners.items()
            if kind == "session" and any(listener.closes_at is None for listener in listeners)
        ]
        if waiting:
            for news in await self._store.read(lambda connection: news_of_ends(connection, waiting)):
                self.tell(news)

    async def _sweep_screens(self) -> None:
        started = self._clock.now()
        since = min(self._since, started) - OVERLAP_MS
        for cart_id, key in await self._store.read(lambda connection: changed_screens(connection, since)):
            for listener in self._listeners.get(("cart", cart_id), ()):
                if listener.key not in (None, key):
                    listener.finish(End.WITHDRAWN)
        self._since = started

    def stop(self) -> None:
        """The server stops: nobody is to wait for a listener."""
        self._stopping = True
        for listeners in self._listeners.values():
            for listener in listeners:
                listener.finish(End.STOPPING)
