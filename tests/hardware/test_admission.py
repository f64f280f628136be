"""The brake by itself: more than so many accepted connects of one cart in 10 s (F08)."""

import pytest

from duckycart.hardware.admission import Brake


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("connects", [1, 2, 5])
def test_f08_as_many_as_allowed_pass_and_the_next_waits_for_the_oldest(connects: int) -> None:
    time = Time()
    brake = Brake(connects, time)
    for number in range(connects):
        assert brake.retry_after(1) is None
        brake.accepted(1)
        time.now = number + 1.0
    assert brake.retry_after(1) == 10 - connects
    assert brake.retry_after(2) is None
    time.now = 9.9
    assert brake.retry_after(1) == 1
    time.now = 10.0
    assert brake.retry_after(1) is None


@pytest.mark.parametrize("connects", [1, 5])
def test_f06_it_remembers_no_more_than_it_needs(connects: int) -> None:
    time = Time()
    brake = Brake(connects, time)
    for _ in range(100):  # newcomers that won over a dead incumbent count, but are not refused
        brake.accepted(1)
    assert len(brake._accepted[1]) == connects
    time.now = 9.0
    brake.forget_old()
    assert brake._accepted
    time.now = 10.0
    brake.forget_old()
    assert not brake._accepted
