"""News that comes late, twice or out of order is said once, in the order of the session's versions."""

from itertools import permutations

import pytest

from duckycart.channels.listener import Listener
from duckycart.channels.topic import Topic
from duckycart.effects import News, NewsKind


def news(version: int, kind: NewsKind = NewsKind.CART_UPDATED) -> News:
    return News(kind, 1, 7, version, version)


def start(session_id: int) -> News:
    return News(NewsKind.SESSION_STARTED, 1, session_id, 1)


@pytest.fixture
def topic() -> Topic:
    """Somebody listens and was told how things stand in version 4."""
    topic = Topic()
    topic.opened(listener(topic), news(4))
    return topic


def listener(topic: Topic) -> Listener:
    """One more, who knows nothing yet."""
    listener = Listener(0.0)
    topic.listeners.add(listener)
    return listener


@pytest.mark.parametrize("order", list(permutations((5, 6, 7))), ids=str)
def test_f28_whatever_the_order_in_which_it_comes(topic: Topic, order: tuple[int, ...]) -> None:
    said = [one.version for version in order for one in topic.next(news(version))]
    assert said == [5, 6, 7]
    assert topic.version == 7


def test_what_was_said_or_was_before_the_present_is_not_said_again(topic: Topic) -> None:
    assert topic.next(news(5)) == [news(5)]
    assert topic.next(news(5)) == topic.next(news(4)) == topic.next(news(1)) == []


def test_what_was_looked_up_stands_for_what_was_lost_and_lets_the_rest_go_on(topic: Topic) -> None:
    assert topic.next(news(7)) == topic.next(news(8)) == []
    assert topic.found(news(6)) == [news(6), news(7), news(8)]
    assert topic.next(news(5)) == topic.next(news(6)) == [], "they come late"
    assert topic.next(news(9)) == [news(9)]


def test_what_was_looked_up_is_not_said_twice(topic: Topic) -> None:
    assert topic.next(news(5)) == [news(5)]
    assert topic.found(news(5)) == []


def test_between_subscription_and_opening_nothing_is_lost() -> None:
    topic = Topic()
    first = listener(topic)
    assert topic.next(news(5)) == [news(5)]
    assert topic.next(news(7)) == [news(7)]
    topic.opened(first, news(5))
    assert topic.next(news(6)) == [news(6)]
    assert topic.version == 7
    assert topic.next(news(8)) == [news(8)]


@pytest.mark.parametrize("lost", [False, True])
def test_of_two_who_come_at_once_the_one_who_was_told_less_misses_nothing(topic: Topic, lost: bool) -> None:
    """Both read the present; between the two looks something happened, of which neither was told by itself yet."""
    less, more = listener(topic), listener(topic)
    topic.opened(more, news(6))
    topic.opened(less, news(5))
    assert topic.version == 4
    said = [*topic.next(news(5)), *(topic.found(news(6)) if lost else topic.next(news(6)))]
    assert [(one.version, less in hearing, more in hearing) for one in said for hearing in [topic.hearing(one)]] == [
        (5, False, False),
        (6, True, False),
    ]
    assert topic.next(news(7)) == [news(7)]
    assert set(topic.hearing(news(7))) == topic.listeners


def test_the_first_two_who_come_at_once_miss_nothing_either() -> None:
    topic = Topic()
    less, more = listener(topic), listener(topic)
    topic.opened(more, news(6))
    topic.opened(less, news(5))
    assert topic.version == 5
    assert topic.found(news(6)) == [news(6)]
    assert topic.hearing(news(6)) == [less]


def test_who_heard_it_before_knowing_the_present_does_not_hear_it_again(topic: Topic) -> None:
    late = listener(topic)
    assert topic.next(news(5)) == [news(5)]
    assert late in topic.hearing(news(5))
    topic.opened(late, news(4))
    assert topic.version == 5


@pytest.mark.parametrize("said", [news(5), start(9)], ids=["of a session", "of a cart"])
def test_what_two_heard_before_either_knew_the_present_is_looked_up_for_neither(said: News) -> None:
    topic = Topic()
    first, second = listener(topic), listener(topic)
    assert topic.next(said) == [said]
    assert set(topic.hearing(said)) == {first, second}
    present = news(4) if said.kind is NewsKind.CART_UPDATED else None
    topic.opened(first, present)
    topic.opened(second, present)
    assert topic.found(said) == []
    assert first.known_version == second.known_version == topic.version == (5 if present else 9)


def test_a_scan_changes_nothing_waits_for_nothing_and_is_not_said_when_its_moment_is_past(topic: Topic) -> None:
    seen = news(4, NewsKind.ITEM_READ)
    assert topic.next(seen) == topic.next(seen) == [seen]
    assert topic.next(news(5, NewsKind.PAYMENT_CREATED)) == [news(5, NewsKind.PAYMENT_CREATED)]
    assert topic.next(seen) == []


def test_a_cart_is_told_of_its_newest_session() -> None:
    topic = Topic()
    topic.opened(listener(topic), None)
    assert topic.next(start(5)) == [start(5)]
    assert topic.next(start(9)) == [start(9)]
    assert topic.next(start(7)) == topic.found(start(9)) == []
    assert topic.found(start(12)) == [start(12)]


def test_nobody_looks_for_more_after_the_last_word(topic: Topic) -> None:
    for listener in topic.listeners:
        listener.offer(News(NewsKind.PAYMENT_SUCCESSFUL, 1, 7, 5, final=True), 0.0)
    assert topic.version is None
