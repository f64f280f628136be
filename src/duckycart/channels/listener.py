"""A listener is one open socket or stream, with the news that waits to be written to it."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Final

from duckycart.effects import News
from duckycart.lifecycle.news import GRACE_SECONDS

MAX_WAITING: Final = 64  # pieces of news that one listener has not read; a whole session is about as many


class End(StrEnum):
    """Why a listener hears no more; the log uses these words."""

    OVER = "session_over"  # its grace too
    WITHDRAWN = "withdrawn"  # the key that opened it is void
    GONE = "screen_left"  # it closed, or its connection broke
    TOO_SLOW = "did_not_read"
    STOPPING = "server_stopped"
    CROWDED = "crowded_out"  # too many listen, and it was its turn to go


class Listener:
    """One open socket or stream, which reads news at its own pace until it is finished."""

    __slots__ = (
        "_changed",
        "_waiting",
        "_writing",
        "close_code",
        "closes_at",
        "early",
        "end",
        "heard_at",
        "key",
        "known_version",
        "since",
    )

    def __init__(self, now: float, key: str | None = None) -> None:
        self._waiting: deque[News | None] = deque()  # None is a heartbeat
        self._changed = asyncio.Event()
        self._writing: asyncio.Timeout | None = None  # around a message that is being written
        self.end: End | None = None  # None while it listens
        self.close_code: int | None = None  # of a socket, when it was the screen that closed it
        self.since: float | None = None  # when it was told what there is, None before (monotonic)
        self.key = key  # of a cart's screen: which key opened it; else None
        self.known_version = -1  # its topic's: up to which version it knows everything
        self.early: set[int] = set()  # its topic's: versions it heard before that could be told
        self.heard_at = now  # when something was last put in its way (monotonic)
        self.closes_at: float | None = None  # GRACE_SECONDS after its session's last word (monotonic)

    def offer(self, news: News | None, now: float) -> bool:
        """Put news, or a heartbeat (None), behind what waits. Never blocks: a listener that does not read is dropped
        (F24).

        Returns whether the listener was dropped by this call.
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
        """End this listener: nothing more is offered to it, and a message that it is slow to read now is given up."""
        if self.end is not None:
            return
        self.end = end
        self._changed.set()
        if self._writing is not None:
            self._writing.reschedule(0)  # long past

    async def listen(self, write: Callable[[News | None], Awaitable[None]]) -> End:
        """Hand all that comes to `write`, in order, until the end; returns which end it was."""
        while self.end is None:
            if not self._waiting:
                self._changed.clear()
                await self._changed.wait()
                continue
            try:
                async with asyncio.timeout(None) as self._writing:
                    await write(self._waiting.popleft())
            except TimeoutError:
                return End.TOO_SLOW  # whatever the reason: half a message may be written
            finally:
                self._writing = None
        return self.end
