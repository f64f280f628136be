from random import Random

from duckycart.cart.backoff import FIRST, LONGEST, STEADY, Backoff
from tests.cart.world import LongestDelays


def test_the_limit_doubles_from_half_a_second_to_twenty() -> None:
    backoff = Backoff(LongestDelays())
    assert [backoff.delay() for _ in range(9)] == [0.5, 1, 2, 4, 8, 16, 20, 20, 20]


def test_a_delay_is_drawn_from_zero_to_the_limit() -> None:
    firsts = [Backoff(Random(seed)).delay() for seed in range(200)]
    assert min(firsts) < 0.05 < 0.45 < max(firsts) <= FIRST


def test_a_seed_gives_the_same_delays() -> None:
    one, two = Backoff(Random(1)), Backoff(Random(1))
    assert [one.delay() for _ in range(5)] == [two.delay() for _ in range(5)]


def test_what_the_server_asks_for_is_waited() -> None:
    backoff = Backoff(LongestDelays())
    assert backoff.delay(at_least=7) == 7
    assert backoff.delay(at_least=60) == 60
    assert backoff.delay(at_least=1) == 2


def test_only_a_connection_that_lasted_begins_again() -> None:
    backoff = Backoff(LongestDelays())
    backoff.delay()
    backoff.was_open(STEADY - 0.1)
    assert backoff.delay() == 1
    backoff.was_open(STEADY)
    assert backoff.delay() == FIRST


def test_it_never_tires() -> None:
    backoff = Backoff(LongestDelays())
    assert [backoff.delay() for _ in range(5000)][-1] == LONGEST
