"""What there is to listen to, a session or a cart, and how much of it was said here."""

from duckycart.channels.listener import Listener
from duckycart.effects import News, NewsKind


class Topic:
    """Its listeners, and the order of what they hear.

    News comes from this process and, over the bus, from others: late, twice, out of order or never. The versions of a
    session have no gaps, so what came too early is kept until what is before it came, or was looked up by the sweep.
    """

    __slots__ = ("_early", "_told", "listeners")

    def __init__(self) -> None:
        self.listeners: set[Listener] = set()
        self._told: int | None = None  # said up to this version; None until the first listener knows the present
        self._early: dict[int, News | None] = {}  # by version; None for what was said already

    @property
    def told(self) -> int | None:
        """Up to which version everything was said; None while that is not known, or nobody waits for more."""
        return self._told if any(listener.closes_at is None for listener in self.listeners) else None

    def opened(self, listener: Listener, present: News | None) -> None:
        """It was told this when it came, None for nothing. Of two who came at once, the other may have been told more:
        what is between is said yet."""
        listener.told = max(listener.told, 0 if present is None else _number(present))
        while listener.told + 1 in listener.early:  # said to it before anybody knew the present
            listener.told += 1
        listener.early.clear()
        if self._told is None or listener.told < self._told:
            self._told = listener.told
            self._in_order()

    def hearing(self, news: News) -> list[Listener]:
        """Who has to hear what can be said now: all but those who knew it when they came."""
        if news.kind is NewsKind.ITEM_READ:
            return list(self.listeners)
        number = _number(news)
        if self._told is None:
            for listener in self.listeners:
                if news.kind is NewsKind.SESSION_STARTED:  # of the sessions before it nobody needs to hear
                    listener.told = max(listener.told, number)
                listener.early.add(number)
            return list(self.listeners)
        hearing = [listener for listener in self.listeners if listener.told < number]
        for listener in hearing:
            listener.told = number
        return hearing

    def next(self, news: News) -> list[News]:
        """What can be said now that this came."""
        if news.kind is NewsKind.ITEM_READ:  # of a moment, and changes nothing; one that is past is not said
            return [news] if self._told is None or news.version >= self._told else []
        if self._told is None:
            self._early[_number(news)] = None
            return [news]
        if news.kind is NewsKind.SESSION_STARTED:
            return self.found(news)  # of one that is over nobody needs to hear
        if news.version > self._told:
            self._early.setdefault(news.version, news)
        return self._in_order()

    def found(self, news: News) -> list[News]:
        """The same of what was looked up: whatever was before it is said, or need not be."""
        number = _number(news)
        if self._told is None or number <= self._told:
            return []
        self._told = number - 1
        self._early[number] = news
        return self._in_order()

    def _in_order(self) -> list[News]:
        assert self._told is not None
        said: list[News] = []
        for number in sorted(self._early):
            if number > self._told + 1:
                break
            news = self._early.pop(number)
            if number > self._told:
                self._told = number
                if news is not None:
                    said.append(news)
        return said


def _number(news: News) -> int:
    """Its place in the order of its topic."""
    return news.session_id if news.kind is NewsKind.SESSION_STARTED else news.version
