"""A topic is what can be listened to, a session or a cart, and how much of its news this process has passed on."""

from duckycart.channels.listener import Listener
from duckycart.effects import News, NewsKind


class Topic:
    """The listeners of one session or cart, and the order of what they hear.

    News comes from this process and, over the bus, from others: late, twice, out of order or never. The versions of a
    session have no gaps, so what came too early is kept until what is before it came, or was looked up by the sweep.
    """

    __slots__ = ("_early", "_version", "listeners")

    def __init__(self) -> None:
        self.listeners: set[Listener] = set()
        self._version: int | None = None  # said up to this version; None until the first listener knows the present
        self._early: dict[int, News | None] = {}  # by version; None for what was said already

    @property
    def version(self) -> int | None:
        """The version up to which everything was passed on; None while that is not known, or nobody waits for more."""
        return self._version if any(listener.closes_at is None for listener in self.listeners) else None

    def opened(self, listener: Listener, present: News | None) -> None:
        """Note that the listener was sent `present` when it came, None for nothing. When two came at once and the other
        was sent a later state, what lies between the two is still passed on."""
        listener.known_version = max(listener.known_version, 0 if present is None else _number(present))
        while listener.known_version + 1 in listener.early:  # said to it before anybody knew the present
            listener.known_version += 1
        listener.early.clear()
        if self._version is None or listener.known_version < self._version:
            self._version = listener.known_version
            self._in_order()

    def hearing(self, news: News) -> list[Listener]:
        """Return who has to hear this news now: all listeners but those that knew it when they came."""
        if news.kind is NewsKind.ITEM_READ:
            return list(self.listeners)
        number = _number(news)
        if self._version is None:
            for listener in self.listeners:
                if news.kind is NewsKind.SESSION_STARTED:  # of the sessions before it nobody needs to hear
                    listener.known_version = max(listener.known_version, number)
                listener.early.add(number)
            return list(self.listeners)
        hearing = [listener for listener in self.listeners if listener.known_version < number]
        for listener in hearing:
            listener.known_version = number
        return hearing

    def next(self, news: News) -> list[News]:
        """Return the news that can be passed on now that this piece came, in order."""
        if news.kind is NewsKind.ITEM_READ:  # of a moment, and changes nothing; one that is past is not said
            return [news] if self._version is None or news.version >= self._version else []
        if self._version is None:
            self._early[_number(news)] = None
            return [news]
        if news.kind is NewsKind.SESSION_STARTED:
            return self.found(news)  # of one that is over nobody needs to hear
        if news.version > self._version:
            self._early.setdefault(news.version, news)
        return self._in_order()

    def found(self, news: News) -> list[News]:
        """Return what can be passed on now that the sweep found this piece: whatever was before it is passed on, or
        need not be."""
        number = _number(news)
        if self._version is None or number <= self._version:
            return []
        self._version = number - 1
        self._early[number] = news
        return self._in_order()

    def _in_order(self) -> list[News]:
        assert self._version is not None
        due: list[News] = []
        for number in sorted(self._early):
            if number > self._version + 1:
                break
            news = self._early.pop(number)
            if number > self._version:
                self._version = number
                if news is not None:
                    due.append(news)
        return due


def _number(news: News) -> int:
    """Return the news' place in the order of its topic."""
    return news.session_id if news.kind is NewsKind.SESSION_STARTED else news.version
