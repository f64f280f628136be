"""This module reads JSON as clients send it, strictly (RFC 8259), and says in words for people why a text cannot be
read.

Python's own reader takes more than JSON (NaN, a key twice, UTF-16), and a text nested a thousand deep is an error of
another kind to it. What two readers would read in two ways is refused here.
"""

import json
from typing import Any, Final, NoReturn

BOM: Final = b"\xef\xbb\xbf"


class NotJson(Exception):
    """The text is no JSON; the error's own text is a sentence that says why."""


def read_json(text: bytes) -> Any:
    """Return what the text holds. A byte order mark before it is passed over. Raises NotJson."""
    text = text.removeprefix(BOM)
    if not text.strip(b" \t\r\n"):
        raise NotJson("The body is empty; send JSON.")
    try:
        return json.loads(text.decode(), object_pairs_hook=_each_key_once, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise NotJson(f"The body is not UTF-8: byte {error.start + 1} is the first that is none.") from error
    except json.JSONDecodeError as error:
        raise NotJson(
            f"The body is not valid JSON: {_cause(error)} (line {error.lineno}, column {error.colno})."
        ) from error
    except RecursionError as error:
        raise NotJson("The body is JSON that is nested too deep.") from error
    except ValueError as error:  # Python reads no number of thousands of digits
        raise NotJson("The body holds a number with too many digits.") from error


def kind_of(value: Any) -> str:
    """Return how JSON calls a value, for a sentence."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list():
            return "a list"
        case _:
            return "an object"


def _cause(error: json.JSONDecodeError) -> str:
    if error.pos >= len(error.doc):
        return "it ends too early"
    return error.msg[0].lower() + error.msg[1:]


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise NotJson(f"The body names {twice[:40]!a} twice.")
    return read


def _refuse_constant(name: str) -> NoReturn:
    raise NotJson(f"The body holds {name}, which is not JSON.")
