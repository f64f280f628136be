"""The cart's settings: one TOML file, the environment over it, the command line over that."""

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from duckycart.cart.setup import hint
from duckycart.wire import MAX_ID

DEFAULT: Final = Path("/etc/duckycart/cart.toml")
_KINDS: Final[dict[str, tuple[type | tuple[type, ...], str]]] = {
    "cart": (int, f"a whole number from 1 to {MAX_ID}"),
    "url": (str, "a text, such as https://shop.example:8000"),
    "key": (str, "a text: the key that was shown when the cart was created"),
    "key_file": (str, "the path of a file with the key, in quotes"),
    "ca": (str, "the path of a file with the certificate of the shop's own authority, in quotes"),
    "drivers": (list, 'a list of names: ["terminal", "scanner"]'),
    "qr": (bool, "true or false"),
    "state": (str, "the path of a folder, in quotes"),
    "tolerance": (int, "whole grams, from 1 to 1000"),
}


class WrongConfiguration(ValueError):
    """The file cannot be used; the sentence names the file, the line and what to do."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a cart's file says; what it does not say is None."""

    cart: int | None = None
    url: str | None = None
    key: str | None = field(default=None, repr=False)
    key_file: str | None = None
    ca: str | None = None
    drivers: tuple[str, ...] | None = None
    qr: bool | None = None
    state: str | None = None
    tolerance: int | None = None
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)  # of drivers, by their names
    source: "Source | None" = None


@dataclass(frozen=True, slots=True)
class Source:
    """The file that was read, to say where in it something is wrong."""

    path: Path
    text: str = field(repr=False)

    def wrong(self, name: str, sentence: str, table: str = "") -> WrongConfiguration:
        """Return the error for this setting, with its line."""
        line = self._line(name, table)
        place = f"{self.path}, line {line}" if line else str(self.path)
        full = f"{table}.{name}" if table else name
        return WrongConfiguration(f"{place}: {full} {sentence}")

    def _line(self, name: str, table: str) -> int | None:
        current = ""
        for number, line in enumerate(self.text.splitlines(), 1):
            if header := re.match(r"\s*\[\s*([^\]]+?)\s*\]", line):
                current = header[1].strip("\"'")
                if current == name and not table:
                    return number
            elif current == table and re.match(rf"\s*[\"']?{re.escape(name)}[\"']?\s*=", line):
                return number
        return None


def read(path: Path | None, *, with_key: bool = True) -> Configuration:
    """Read the cart's file: `path`, or DEFAULT if that is there, and the file with its key, unless there may be none
    yet. Raises WrongConfiguration."""
    if path is None:
        if not DEFAULT.exists():
            return Configuration()
        path = DEFAULT
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise WrongConfiguration(f"{path} cannot be read: {reason}") from None
    source = Source(path, text)
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise WrongConfiguration(f"{path} is no TOML: {error}") from None
    tables = {name: value for name, value in values.items() if isinstance(value, dict)}
    for name, value in values.items():
        if name not in tables:
            _check(source, name, value)
    for name in tables:
        if name in _KINDS:
            raise source.wrong(name, f"must be {_KINDS[name][1]}, not a table")
    given = {name: value for name, value in values.items() if name in _KINDS}
    if "key_file" in given and "key" in given:
        raise source.wrong("key_file", "and key are both given; one is enough")
    if "key_file" in given and with_key:
        try:
            given["key"] = Path(given["key_file"]).read_text(encoding="ascii").strip()
        except (OSError, UnicodeError) as error:
            raise source.wrong("key_file", f"cannot be read: {error}") from None
    if "drivers" in given:
        given["drivers"] = tuple(given["drivers"])
    return Configuration(**given, tables=tables, source=source)


def _check(source: Source, name: str, value: object) -> None:
    if name not in _KINDS:
        raise source.wrong(name, f"is no setting{hint(name, _KINDS, ', and a table for each driver')}")
    kind, words = _KINDS[name]
    good = isinstance(value, kind) and (kind is bool or not isinstance(value, bool)) and value not in ("", [])
    if isinstance(value, list):
        good = good and all(isinstance(one, str) and one for one in value)
    elif isinstance(value, int) and not isinstance(value, bool):
        good = good and 1 <= value <= (MAX_ID if name == "cart" else 1000)
    if not good:
        raise source.wrong(name, f"must be {words}")
