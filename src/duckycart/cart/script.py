"""A cart without hardware goes by a script: `duckycart cart 7 --simulate FILE`.

A line is one step; what is behind `#` is for people:

    until shopping         # or idle, qr, held, connected, disconnected
    scan 6221000000012
    put 1030               # grams, onto the scale
    take 1030
    press take_back
    wait 2.5               # seconds
    power-off              # the process ends as by a power cut
"""

import asyncio
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from duckycart.cart.driver import Driver, Tell
from duckycart.cart.heard import Pressed, Scanned, Weighed, barcode_of
from duckycart.cart.setup import Setup, WrongSetting

STATES: Final = ("idle", "qr", "shopping", "held", "connected", "disconnected")


@dataclass(frozen=True, slots=True)
class Step:
    word: str
    value: str = ""


def _number(least: float, most: float) -> Callable[[str], bool]:
    def good(value: str) -> bool:
        try:
            return least <= float(value) <= most
        except ValueError:
            return False

    return good


_VALUES: Final[dict[str, tuple[Callable[[str], bool], str]]] = {
    "until": (lambda value: value in STATES, f"one of {', '.join(STATES)}"),
    "scan": (lambda value: barcode_of(value) is not None, "a barcode"),
    "put": (_number(1, 1_000_000), "grams"),
    "take": (_number(1, 1_000_000), "grams"),
    "press": (lambda value: bool(value), "a button, such as take_back"),
    "wait": (_number(0, 3600), "seconds"),
    "power-off": (lambda value: not value, "nothing"),
}


def steps_of(text: str) -> list[Step]:
    """Return the steps of a script. Raises ValueError with a sentence that names the line."""
    steps = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        step = Step(words[0], " ".join(words[1:]))
        if step.word not in _VALUES:
            raise ValueError(f"line {number}: there is no step {step.word}; there are {', '.join(_VALUES)}")
        good, needs = _VALUES[step.word]
        if not good(step.value):
            raise ValueError(f"line {number}: {step.word} needs {needs}, not {step.value or 'nothing'}")
        steps.append(step)
    return steps


class ScriptDriver(Driver):
    """Does what a script says, with a scale that is exact, and nothing once the script is over."""

    def __init__(self, setup: Setup) -> None:
        path = Path(setup.text("file", ""))
        try:
            self._steps = steps_of(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise WrongSetting("file", f"{path} cannot be used: {error}") from None
        self._state = "idle"
        self._link = "disconnected"
        self._changed = asyncio.Event()

    async def run(self, tell: Tell) -> None:
        weight = 0
        scale = any(step.word in ("put", "take") for step in self._steps)
        if scale:
            tell(Weighed(weight))
        for step in self._steps:
            match step.word:
                case "until":
                    await self._until(step.value)
                case "scan":
                    tell(Scanned(int(step.value)))
                case "put" | "take":
                    grams = round(float(step.value))
                    weight += grams if step.word == "put" else -grams
                    tell(Weighed(weight))
                case "press":
                    tell(Pressed(step.value))
                case "wait":
                    await asyncio.sleep(float(step.value))
                case "power-off":
                    os.kill(os.getpid(), signal.SIGKILL)

    async def _until(self, state: str) -> None:
        while state not in (self._state, self._link):
            self._changed.clear()
            await self._changed.wait()

    def _became(self, state: str) -> None:
        self._state = state
        self._changed.set()

    def show_idle(self) -> None:
        self._became("idle")

    def show_qr(self, url: str | None) -> None:
        self._became("qr")

    def start_shopping(self, session_id: int) -> None:
        self._became("shopping")

    def hold_for_payment(self, session_id: int) -> None:
        self._became("held")

    def return_to_idle(self) -> None:
        self._became("idle")

    def connection(self, connected: bool, sentence: str) -> None:
        self._link = "connected" if connected else "disconnected"
        self._changed.set()
