"""Nodes tell each other of effects of committed transactions that concern a link or a listener elsewhere.

Each message is a hint. It may come late, twice, out of order or never, so a node that hears one compares it with what
it knows: a command's seq with its link's, a piece of news with the session's version, a take-over with the link's
epoch.
"""

from dataclasses import dataclass
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from duckycart.effects import News, Queued, Received


@dataclass(frozen=True, slots=True)
class TakenOver:
    """A newer connection claimed the cart; links of it with an older epoch close."""

    cart_id: int
    epoch: int


Message = Queued | Received | News | TakenOver


class NotAMessage(ValueError):
    """The bytes are nothing that a node of this version sends; the error's text says what they are."""


_FORMS: Final[dict[str, TypeAdapter[Any]]] = {
    kind.__name__: TypeAdapter(kind) for kind in (Queued, Received, News, TakenOver)
}


def encode(message: Message) -> bytes:
    """Return the message's name, a space, and its fields as JSON."""
    name = type(message).__name__
    return b"%b %b" % (name.encode(), _FORMS[name].dump_json(message))


def decode(payload: bytes) -> Message:
    """Return the message that `encode` wrote. Raises NotAMessage for anything else, a newer version's messages for
    one."""
    name, _, fields = payload.partition(b" ")
    form = _FORMS.get(name.decode(errors="replace"))
    if form is None:
        raise NotAMessage(f"unknown name {name[:20]!r}")
    try:
        message: Message = form.validate_json(fields)
    except ValidationError as error:
        raise NotAMessage(f"not the fields of {name.decode()}") from error
    return message
