"""A figure is one thing that was measured, beside its reference of the same run, with what it shall be."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Target:
    """A bound for the figure itself or, with `ratio`, for its ratio to the reference."""

    bound: float
    ratio: bool = False
    at_least: bool = False

    def reached(self, value: float) -> bool:
        return value >= self.bound if self.at_least else value <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.bound:g}{' of it' if self.ratio else ''}"


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured, in `unit`; `beside` is the same of `reference`, None where there is nothing to compare."""

    name: str
    value: float
    unit: str
    reference: str = ""
    beside: float | None = None
    target: Target | None = None

    @property
    def ratio(self) -> float | None:
        """The figure by its reference's."""
        return None if not self.beside else self.value / self.beside

    @property
    def reached(self) -> bool | None:
        """Whether the target is reached; None without one."""
        if self.target is None:
            return None
        measured = self.ratio if self.target.ratio else self.value
        return measured is not None and self.target.reached(measured)


class Part(Protocol):
    """One module of this package that measures. Its docstring is the method, as docs/figures.md has it; the first line
    is its title."""

    __doc__: str | None
    __name__: str

    def measure(self, quick: bool) -> Iterator[Figure]:
        """Measure, and give each figure as soon as it is known; `quick` shows in a minute that all of it works."""
