"""docs/build-a-cart.md: what it shows works, and what it says of pins is what the example says."""

import re
import sys
from pathlib import Path
from typing import Any

from duckycart.cart.drivers import Several
from duckycart.cart.heard import Heard, Noticed, Scanned
from duckycart.cart.script import steps_of
from duckycart.cart.setup import Setup
from duckycart.testing.clock import ManualClock
from duckycart.wire import CommandType

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "build-a-cart.md").read_text()


async def test_the_driver_of_the_page_is_one() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(example, "docs/build-a-cart.md", "exec", dont_inherit=True), names)
    lights = names["Lights"](Setup(7, sys.stdout, ManualClock(0), {"colour": "blue"}))
    told: list[Heard] = []
    await Several([("lights", lights)]).run(told.append)
    assert told == [Noticed("The lights are on."), Scanned(6221000000012)]
    lights.start_shopping(5)
    assert lights.shining == "blue"


def test_the_script_of_the_page_is_one() -> None:
    (script,) = re.findall(r"^((?:    (?:until|scan|put) .*\n)+)", PAGE, re.MULTILINE)
    assert [step.word for step in steps_of(script)] == ["until", "scan", "put", "until", "until"]


def test_every_command_of_the_protocol_has_its_row() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .* \| `(\w+)`", PAGE, re.MULTILINE)
    assert [command for command, _ in rows][: len(CommandType)] == [kind.value for kind in CommandType]


def test_the_picture_shows_the_pins_of_the_example() -> None:
    example = (DOCS.parent / "deploy" / "cart" / "cart.toml.example").read_text()
    pins = set(re.findall(r"^# \w+ = (\d+)$", example.partition("[gpio]")[2], re.MULTILINE))
    assert set(re.findall(r"BCM (\d+)", (DOCS / "wiring.svg").read_text())) == pins
