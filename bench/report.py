"""Figures as a table for the terminal, and as a page with charts."""

import datetime
import os
import platform
import sysconfig
from collections.abc import Iterable, Sequence
from typing import Final

from bench.chart import bars
from bench.figures import Figure, Part

Measured = Sequence[tuple[Part, list[Figure]]]
HEADS: Final = ("figure", "measured", "reference", "ratio", "target", "")
MARKS: Final = {True: "reached", False: "not reached", None: ""}


def cells(figure: Figure) -> tuple[str, ...]:
    """A figure's line of the table."""
    beside = "" if figure.beside is None else f"{number(figure.beside)} {figure.reference}"
    ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
    target = "" if figure.target is None else str(figure.target)
    return figure.name, f"{number(figure.value)} {figure.unit}", beside, ratio, target, MARKS[figure.reached]


def number(value: float) -> str:
    """Three digits that mean something."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def row(figure: Figure) -> str:
    """One figure as it is said while the next is measured."""
    name, measured, beside, ratio, target, mark = cells(figure)
    reference = f", {ratio} of {beside}" if ratio else ""
    return f"{name}: {measured}{reference}" + (f"; to be {target}: {mark}" if target else "")


def table(measured: Measured) -> str:
    """All figures in columns."""
    rows: list[tuple[str, ...]] = [HEADS]
    for part, figures in measured:
        rows += [("",) * len(HEADS), (title(part), *("",) * (len(HEADS) - 1)), *map(cells, figures)]
    # A title may be longer than its column.
    widths = [max(len(one[place]) for one in rows if one[1] or place) for place in range(len(HEADS))]
    return "\n".join("  ".join(map(str.ljust, one, widths)).rstrip() for one in rows)


def title(part: Part) -> str:
    return (part.__doc__ or "").splitlines()[0]


def method(part: Part) -> str:
    return (part.__doc__ or "").partition("\n\n")[2].strip()


def page(measured: Measured, commit: str) -> dict[str, str]:
    """The files of the page, by their names: the text, and a chart for what has a target."""
    lines = [
        "# Figures",
        "",
        "Reference: what this server costs, beside something of the same run. Written by `make bench`, never by hand.",
        "",
        f"Measured at commit {commit or 'unknown'} on {datetime.datetime.now(datetime.UTC):%Y-%m-%d}: {machine()}.",
        "The database, the server and all who use it share that machine. Absolute values drift by a third from hour to",
        "hour; ratios are what can be compared. Durability, receipts and every check are on, with the defaults of a",
        "new server, but that one address may call without limit.",
        "",
        "![Each figure by its target](figures.svg)",
        "",
        "A bar that ends left of the line reached its target.",
    ]
    for part, figures in measured:
        lines += ["", f"## {title(part)}", "", method(part), "", *markdown(figures)]
    return {"figures.md": "\n".join(lines) + "\n", "figures.svg": chart(measured)}


def markdown(figures: Iterable[Figure]) -> list[str]:
    """A table of a page."""
    rows = [HEADS, ("---",) * len(HEADS), *map(cells, figures)]
    return ["| " + " | ".join(one) + " |" for one in rows]


def machine() -> str:
    """What was measured on."""
    optimised = "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "")
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{os.cpu_count()} cores, {platform.machine()}, {python} built {'with' if optimised else 'without'} PGO"


def chart(measured: Measured) -> str:
    """Every figure that has a target, by that target."""
    rows = []
    for part, figures in measured:
        for figure in figures:
            if figure.target is not None and (value := figure.ratio if figure.target.ratio else figure.value):
                bound = figure.target.bound
                rows.append((title(part), figure.name, bound / value if figure.target.at_least else value / bound))
    return bars(rows)
