"""A driver is made with its part of the cart's settings, each checked when it is read."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, TextIO

from duckycart.clock import Clock


class WrongSetting(ValueError):
    """A setting cannot be used. `name` is its name in the table of `driver`; the sentence says what it must be."""

    driver = ""  # known to whoever makes the driver

    def __init__(self, name: str, sentence: str) -> None:
        self.name = name
        super().__init__(sentence)


def hint(name: str, known: Collection[str], more: str = "") -> str:
    """Return what somebody may have meant who wrote a name that is not known: the nearest, or all that there are."""
    near = get_close_matches(name, known, 1)
    return f"; is it {near[0]}?" if near else f"; there are {', '.join(known) or 'none'}{more}"


@dataclass(slots=True)
class Setup:
    """What a driver is made with."""

    cart_id: int
    out: TextIO  # where drivers that write for people or programs write
    clock: Clock
    settings: Mapping[str, Any] = field(default_factory=dict)  # its own table of the configuration file
    _read: set[str] = field(default_factory=set)

    def text(self, name: str, default: str) -> str:
        """Return a setting that is a text. Raises WrongSetting, as all of these do."""
        value = self._value(name, default)
        if not isinstance(value, str) or not value:
            raise WrongSetting(name, "must be a text in quotes")
        return value

    def choice(self, name: str, default: str, among: Collection[str]) -> str:
        """Return a setting that is one of a few words."""
        value = self.text(name, default)
        if value not in among:
            raise WrongSetting(name, f"must be one of {', '.join(sorted(among))}")
        return value

    def number(self, name: str, default: float, least: float, most: float) -> float:
        """Return a setting that is a number with bounds."""
        value = self._value(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise WrongSetting(name, f"must be a number from {least:g} to {most:g}")
        return value

    def whole(self, name: str, default: int | None, least: int, most: int) -> int | None:
        """Return a setting that is a whole number with bounds; None where there is none and no default."""
        value = self._value(name, default)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most):
            raise WrongSetting(name, f"must be a whole number from {least} to {most}")
        return value

    def flag(self, name: str, default: bool) -> bool:
        """Return a setting that is true or false."""
        value = self._value(name, default)
        if not isinstance(value, bool):
            raise WrongSetting(name, "must be true or false")
        return value

    def _value(self, name: str, default: Any) -> Any:
        self._read.add(name)
        return self.settings.get(name, default)

    def refuse_others(self) -> None:
        """Raise WrongSetting for a setting that no driver has asked for, with the nearest one."""
        for name in self.settings.keys() - self._read:
            raise WrongSetting(name, f"is no setting here{hint(name, sorted(self._read))}")
