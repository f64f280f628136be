"""Scales write lines: what common ones write, when they rest, and on a real serial line."""

import asyncio
import os
import pty
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duckycart.cart import hardware
from duckycart.cart.driver import Broken
from duckycart.cart.heard import Heard, Noticed, Weighed
from duckycart.cart.scale import Reading, Rest, ScaleDriver, reading
from duckycart.cart.setup import Setup, WrongSetting
from duckycart.testing.clock import ManualClock
from duckycart.testing.waiting import until
from tests.cart.world import driven


@pytest.mark.parametrize(
    ("line", "grams", "rests"),
    [
        ("1030", 1030, True),
        ("  1030 g", 1030, True),
        ("-12 g", -12, True),
        ("1,030 kg", 1030, True),
        ("+  1.234kg", 1234, True),
        ("ST,GS,+  1.234kg", 1234, True),  # A&D, and what copies it
        ("US,NT, -0.5 kg", -500, False),
        ("S S      1.030 kg", 1030, True),  # Mettler Toledo, SICS
        ("S D      1.028 kg", 1028, False),
        ("G     0.250 kg", 250, True),
        ("2 lb", 907.18474, True),
        ("0 g", 0, True),
    ],
)
def test_the_lines_of_common_scales(line: str, grams: float, rests: bool) -> None:
    found = reading(line, "g")
    assert found is not None
    assert found.grams == pytest.approx(grams)
    assert found.rests is rests


def test_a_number_alone_is_in_the_unit_of_the_settings() -> None:
    assert reading("1.5", "kg") == Reading(1500, True)


@pytest.mark.parametrize("line", ["", "S I", "ERR", "OL", "kg", "12 apples", "999999 kg", "S +", "\x00\x01"])
def test_what_is_no_weight_is_none(line: str) -> None:
    assert reading(line, "g") is None


@given(st.text(max_size=60))
def test_any_line_is_a_weight_or_none(line: str) -> None:
    found = reading(line, "g")
    assert found is None or abs(found.grams) <= 1_000_000


def rest(*readings: tuple[float, float], noise: float = 3, seconds: float = 0.5, of: int = 3) -> list[int]:
    """What is told of (second, grams)."""
    found = Rest(noise, seconds, of)
    told = [found.take(Reading(grams, True), at) for at, grams in readings]
    return [grams for grams in told if grams is not None]


def test_a_weight_is_told_once_when_it_has_settled() -> None:
    assert rest(*((tenth / 10, 1000) for tenth in range(30))) == [1000]


def test_noise_is_no_change_and_a_knock_neither() -> None:
    noisy = [(tenth / 10, 1000 + tenth % 3) for tenth in range(30)]
    noisy[20] = (2.0, 1900)  # a knock: the middle of three does not see it
    assert rest(*noisy) == [1001]


def test_what_moves_is_not_told() -> None:
    assert rest(*((tenth / 10, 100.0 * tenth) for tenth in range(30))) == []


def test_each_rest_is_told() -> None:
    steps = [(tenth / 10, 0.0 if tenth < 10 else 1030.0 if tenth < 20 else 0.0) for tenth in range(30)]
    assert rest(*steps) == [0, 1030, 0]


def test_a_scale_that_says_that_it_moves_is_believed() -> None:
    found = Rest(3, 0.5, 1)
    assert [found.take(Reading(1000, False), at / 10) for at in range(20)] == [None] * 20
    assert [told for at in range(10) if (told := found.take(Reading(1000, True), 2 + at / 10)) is not None] == [1000]


@pytest.fixture
def line() -> Iterator[tuple[int, str]]:
    """A pseudo-terminal: the scale's end, and the name of ours."""
    theirs, ours = pty.openpty()
    yield theirs, os.ttyname(ours)
    for descriptor in (theirs, ours):
        with suppress(OSError):  # a test may have closed it
            os.close(descriptor)


def driver(device: str, **settings: object) -> ScaleDriver:
    return ScaleDriver(Setup(1, sys.stdout, ManualClock(0), {"device": device, "settle": 0, "filter": 1, **settings}))


async def test_a_weight_on_a_serial_line_is_heard_and_so_is_the_line_s_end_and_its_return(
    line: tuple[int, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "AGAIN_SECONDS", 0.01)
    theirs, name = line
    device = tmp_path / "scale"
    device.symlink_to(name)
    async with driven(driver(str(device))) as told:
        await said(theirs, b"ST,GS,+  1.030kg\r\n", told, Weighed(1030))
        device.unlink()
        os.close(theirs)  # pulled out
        await until(lambda: any(isinstance(one, Noticed) for one in told))
        again, ours = pty.openpty()
        device.symlink_to(os.ttyname(ours))
        await said(again, b"ST,GS,+  2.000kg\r\n", told, Weighed(2000))
        assert told[-2:] == [Noticed("The scale is back."), Weighed(2000)]
    os.close(again)
    os.close(ours)


async def said(descriptor: int, line: bytes, told: list[Heard], wanted: Heard) -> None:
    """Write the line again and again, as scales do, until it was heard."""

    def heard() -> bool:
        os.write(descriptor, line)
        return wanted in told

    await until(heard)


async def test_the_check_reads_one_weight(line: tuple[int, str]) -> None:
    theirs, name = line
    checking = asyncio.create_task(driver(name).check())

    def done() -> bool:
        os.write(theirs, b"  1.030 kg\r\n")
        return checking.done()

    await until(done)
    assert checking.result() == f"1030 g at {name}"


async def test_the_check_says_what_to_do_where_there_is_no_scale(tmp_path: Path) -> None:
    with pytest.raises(Broken, match="plugged in"):
        await driver(str(tmp_path / "nothing")).check()


@pytest.mark.parametrize(
    "settings", [{"baud": 5}, {"baud": "fast"}, {"unit": "stone"}, {"noise": -1}, {"settle": 11}, {"filter": 0}]
)
def test_settings_are_checked(settings: dict[str, object]) -> None:
    with pytest.raises(WrongSetting) as wrong:
        driver("stdin", **settings)
    assert wrong.value.name == next(iter(settings))
