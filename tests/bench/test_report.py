"""What was measured is written as it was measured."""

import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType
from xml.etree import ElementTree

import pytest
from bench.__main__ import PARTS, part_of
from bench.chart import bars
from bench.figures import Figure, Part, Target
from bench.report import Measured, page, row, table

FAST = Figure("CPU per session", 2.0, "ms", "the one before", 5.0, Target(0.4, ratio=True))
FEW = Figure("sessions", 250.0, "/s", target=Target(300, at_least=True))
PLAIN = Figure("memory", 1234.0, "MiB")


class Sessions(ModuleType):
    def measure(self, quick: bool) -> Iterator[Figure]:
        yield from (FAST, FEW, PLAIN)


@pytest.fixture
def measured() -> Measured:
    part: Part = Sessions("sessions", "Whole sessions\n\nThe method,\nin two lines.")
    return [(part, list(part.measure(quick=True)))]


@pytest.mark.parametrize(
    ("figure", "reached"),
    [
        (FAST, True),
        (Figure("", 2.01, "", "", 5.0, Target(0.4, ratio=True)), False),
        (FEW, False),
        (Figure("", 300, "", target=Target(300, at_least=True)), True),
        (Figure("", 3, "", target=Target(3)), True),
        (Figure("", 3.01, "", target=Target(3)), False),
        (Figure("", 0.1, "", "left out", None, Target(0.4, ratio=True)), False),
        (PLAIN, None),
    ],
)
def test_a_target_is_reached_or_not(figure: Figure, reached: bool | None) -> None:
    assert figure.reached is reached


def test_a_figure_is_said_with_its_reference_its_ratio_and_its_target() -> None:
    assert row(FAST) == "CPU per session: 2.00 ms, 0.40 of 5.00 the one before; to be ≤ 0.4 of it: reached"
    assert row(FEW) == "sessions: 250 /s; to be ≥ 300: not reached"
    assert row(PLAIN) == "memory: 1,234 MiB"


def test_the_table_has_every_figure(measured: Measured) -> None:
    lines = table(measured).splitlines()
    assert lines[0].split() == ["figure", "measured", "reference", "ratio", "target"]
    assert lines[2] == "Whole sessions"
    assert lines[3].split("  ")[0] == "CPU per session"
    assert lines[3].endswith("0.40   ≤ 0.4 of it  reached")
    assert len(lines) == 6


def test_the_page_has_the_method_the_figures_and_a_chart(measured: Measured) -> None:
    files = page(measured, "abc1234")
    text = files["figures.md"]
    assert "commit abc1234" in text
    assert "## Whole sessions\n\nThe method,\nin two lines.\n\n| figure |" in text
    assert "| sessions | 250 /s |  |  | ≥ 300 | not reached |" in text
    assert "figures.svg" in text
    chart = ElementTree.fromstring(files["figures.svg"])
    shown = [element.text for element in chart.iter("{http://www.w3.org/2000/svg}text")]
    assert shown == ["Whole sessions", "CPU per session", "1.00", "sessions", "1.20"]  # by their targets


def test_names_in_a_chart_cannot_break_it() -> None:
    ElementTree.fromstring(bars([("a < b & c", 'd "e"', 99.0)]))


@pytest.mark.parametrize("name", PARTS)
def test_each_part_says_what_it_measures_and_how(name: str) -> None:
    title, empty, *method = (part_of(name).__doc__ or "").splitlines()
    assert title
    assert not title.endswith(".")
    assert not empty
    assert method


def test_an_unknown_part_is_named_with_those_there_are() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "bench", "seconds"], capture_output=True, text=True, check=False, timeout=60
    )
    assert said.returncode == 2
    assert "there is no part seconds; there are sessions, postgres_sessions, carts" in said.stderr
