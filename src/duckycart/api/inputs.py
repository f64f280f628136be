"""Whole numbers, ids and texts that clients send are read strictly, by these types."""

import re
from typing import Annotated, Any, Final

from fastapi import Path
from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from duckycart.names import account_name_of, password_of
from duckycart.wire import MAX_ID

# Each has its sentence in `sentences.py`.
PLAIN_TEXT: Final = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"  # of several lines
USER_NAME: Final = r"^[\w.-]+$"
ONE_LINE: Final = r"^[^\x00-\x1f\x7f]*$"  # no control characters: databases refuse NUL, logs take the rest for lines

JWT: Final = "header.claims.signature"  # what a JWT looks like, for examples

_WORD: Final = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,100}")
_DIGITS: Final = re.compile(r"[0-9]+")
_NO_LEADING_ZERO: Final = re.compile(r"[1-9][0-9]*")


def _whole(value: Any) -> Any:
    """Let numbers and ASCII digits pass, but not what Python's own conversion takes besides: true, " 1", "1_0"."""
    if isinstance(value, bool) or (isinstance(value, str) and not _DIGITS.fullmatch(value)):
        raise PydanticCustomError("whole_number", "must be a whole number")
    return value


def _id(value: Any) -> Any:
    """Let an id in a path pass only in the one way to write it: digits, without sign or leading zeros."""
    if not isinstance(value, str) or not _NO_LEADING_ZERO.fullmatch(value):
        raise PydanticCustomError("id", "must be a whole number, without sign or leading zeros")
    return value


def _number_or_word(value: Any) -> Any:
    whole = type(value) is int and abs(value) <= MAX_ID
    if not whole and not (isinstance(value, str) and _WORD.fullmatch(value)):
        raise PydanticCustomError("number_or_word", "must be a whole number or a short text of one line")
    return value


NumberOrWord = Annotated[int | str, BeforeValidator(_number_or_word)]

# To come after a Field with bounds, or the bounds are missing in the JSON Schema.
WHOLE: Final = BeforeValidator(_whole)
ID: Final = BeforeValidator(_id)
NAME: Final = BeforeValidator(account_name_of)
PASSWORD: Final = BeforeValidator(password_of)

MAX_BARCODE: Final = 10**40 - 1

CartId = Annotated[int, Field(ge=1, le=MAX_ID, examples=[1]), ID, Path()]
SessionId = Annotated[int, Field(ge=1, le=MAX_ID, examples=[7]), ID, Path()]
SessionInBody = Annotated[int, Field(ge=1, le=MAX_ID, examples=[7]), WHOLE]
Barcode = Annotated[
    int, Field(ge=0, le=MAX_BARCODE, examples=[6221000000012], description="leading zeros do not count"), WHOLE
]
