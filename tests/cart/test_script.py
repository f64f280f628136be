"""A script is a cart without hardware."""

import asyncio
import sys
from pathlib import Path

import pytest

from duckycart.cart.heard import TAKE_BACK, Heard, Scanned, Weighed
from duckycart.cart.script import ScriptDriver, Step, steps_of
from duckycart.cart.setup import Setup, WrongSetting
from duckycart.testing.clock import ManualClock
from duckycart.testing.waiting import until

SCRIPT = """
# a shopper
until shopping
scan 6221000000012   # milk
put 1030
press take_back
take 1030
until held
wait 0
"""


def driver(path: Path, text: str) -> ScriptDriver:
    path.write_text(text)
    return ScriptDriver(Setup(1, sys.stdout, ManualClock(0), {"file": str(path)}))


async def test_a_script_is_done_step_by_step_as_the_states_come(tmp_path: Path) -> None:
    script = driver(tmp_path / "script", SCRIPT)
    told: list[Heard] = []
    running = asyncio.create_task(script.run(told.append))
    await until(lambda: told == [Weighed(0)])
    script.show_qr(None)
    script.connection(True, "Connected.")
    await asyncio.sleep(0)
    assert told == [Weighed(0)]
    script.start_shopping(7)
    await until(lambda: len(told) == 5)
    assert told[1:] == [Scanned(6221000000012), Weighed(1030), TAKE_BACK, Weighed(0)]
    assert not running.done()
    script.hold_for_payment(7)
    await asyncio.wait_for(running, 20)


async def test_without_a_weight_in_it_there_is_no_scale(tmp_path: Path) -> None:
    told: list[Heard] = []
    await driver(tmp_path / "script", "scan 5").run(told.append)
    assert told == [Scanned(5)]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("scan 1\nfly", "line 2: there is no step fly; there are until, scan,"),
        ("scan", "line 1: scan needs a barcode, not nothing"),
        ("scan milk", "line 1: scan needs a barcode, not milk"),
        ("put -5", "line 1: put needs grams"),
        ("put nan", "line 1: put needs grams"),
        ("wait long", "line 1: wait needs seconds"),
        ("until christmas", "line 1: until needs one of idle"),
        ("power-off now", "line 1: power-off needs nothing"),
        ("press", "line 1: press needs a button"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match="line") as wrong:
        steps_of(text)
    assert sentence in str(wrong.value)
    with pytest.raises(WrongSetting):
        driver(tmp_path / "script", text)


def test_a_script_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(WrongSetting, match="cannot be used"):
        ScriptDriver(Setup(1, sys.stdout, ManualClock(0), {"file": str(tmp_path / "none")}))


def test_empty_lines_and_comments_are_no_steps() -> None:
    assert steps_of("\n  # nothing\nput 5 # grams\n") == [Step("put", "5")]
