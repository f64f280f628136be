"""What clients write, read strictly: whole numbers, and texts that people typed."""

import re
from typing import Any, Final

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

ONE_LINE: Final = r"^[^\x00-\x1f\x7f]*$"  # no control characters: databases refuse NUL, logs take the rest for lines

_DIGITS: Final = re.compile(r"[0-9]+")
_NO_LEADING_ZERO: Final = re.compile(r"[1-9][0-9]*")


def _whole(value: Any) -> Any:
    """Numbers and ASCII digits; not what Python's own conversion takes besides: true, " 1", "1_0", "+1"."""
    if isinstance(value, bool) or (isinstance(value, str) and not _DIGITS.fullmatch(value)):
        raise PydanticCustomError("whole_number", "must be a whole number")
    return value


def _id(value: Any) -> Any:
    """As in a path: there is one way to write it."""
    if not isinstance(value, str) or not _NO_LEADING_ZERO.fullmatch(value):
        raise PydanticCustomError("id", "must be a whole number, without sign or leading zeros")
    return value


# To come after a Field with bounds, or the bounds are missing in the JSON Schema.
WHOLE: Final = BeforeValidator(_whole)
ID: Final = BeforeValidator(_id)
