"""Here alone what is wrong with a field is put into words for the person who filled it in."""

from typing import Any, Final

from duckycart.api.inputs import ONE_LINE, PLAIN_TEXT, USER_NAME
from duckycart.json_text import kind_of
from duckycart.keys import KEY_TEXT
from duckycart.names import EMAIL

_CALLED: Final = {  # others are called by their own names
    "body": "body",
    "email": "e-mail",
    "full_name": "name",
    "mobile_number": "mobile number",
    "username": "user name",
}
_FORMS: Final = {
    EMAIL: "must be an e-mail address, like ann@example.com",
    KEY_TEXT: "must be a key as `duckycart carts screen-key` printed it",
    ONE_LINE: "must be one line, without control characters",
    PLAIN_TEXT: "must be text, without control characters",
    USER_NAME: "may hold letters, digits, dots, hyphens and underscores only",
}
_WHOLE: Final = "must be a whole number"
_KINDS: Final = {
    "missing": "is missing",
    "string_type": "must be a text",
    "string_unicode": "holds a character that is none",
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": _WHOLE,
    "int_from_float": _WHOLE,
    "finite_number": _WHOLE,
    "whole_number": _WHOLE,
    "id": "must be a whole number, without sign or leading zeros",
    "number_or_word": "must be a whole number or a short text of one line",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "list_type": "must be a list",
    "value_error": "cannot be read",
}
_OBJECTS: Final = ("model_type", "model_attributes_type", "dict_type")


def field_of(error: dict[str, Any]) -> str:
    """Return the name of the field that a validation error is about, `body` for the whole body."""
    return ".".join(str(part) for part in error["loc"] if part not in ("body", "query", "path", "header")) or "body"


def problem_of(error: dict[str, Any]) -> str:
    """Return what is wrong, as the rest of a sentence that begins with the field."""
    bounds = error.get("ctx", {})
    match error["type"]:
        case "string_too_short" | "too_short" if bounds["min_length"] == 1:
            return "is empty"
        case "string_too_short":
            return f"must have at least {bounds['min_length']} characters"
        case "string_too_long":
            return f"must have at most {bounds['max_length']} characters"
        case "too_long":
            return f"must have at most {bounds['max_length']} entries"
        case "string_pattern_mismatch":
            return _FORMS.get(bounds["pattern"], "is not of the right form")
        case "greater_than_equal":
            return f"must be at least {bounds['ge']}"
        case "less_than_equal":
            return f"must be at most {bounds['le']}" if bounds["le"] < 10**12 else "is too large"
        case kind if kind in _OBJECTS:
            return f"must be an object, like {{…}}, not {kind_of(error['input'])}"
        case kind:
            return _KINDS.get(kind, "is not as it should be")


def sentence_of(error: dict[str, Any]) -> str:
    field = field_of(error)
    return f"The {_CALLED.get(field, field)} {problem_of(error)}."
