"""A cart understands four commands, which have one form on the wire.

Source: the protocol document, "Server-to-Hardware Messages" and "Message Format": JSON in UTF-8, a text frame per
command, exactly the fields `type` and `data`, where `data` is a session id or null.
"""

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

MAX_ID: Final = 999_999_999  # of carts and sessions
ID: Final = r"[1-9][0-9]{0,8}"  # as every address writes it


class CommandType(StrEnum):
    """What the server may tell a cart. The protocol document knows no fifth word."""

    GENERATE_QR = "generate_qr"
    SESSION_STARTED = "session_started"
    PAYMENT_CREATED = "payment_created"
    END_SESSION = "end_session"


@dataclass(frozen=True, slots=True)
class Command:
    """One command: what to do, and the session it speaks of (None for `generate_qr` alone)."""

    type: CommandType
    session_id: int | None


class NotACommand(ValueError):
    """A frame that is not one of the four commands; the message says what is wrong with it."""


_WITHOUT_SESSION: Final = frozenset({CommandType.GENERATE_QR})


def encode(command: Command) -> bytes:
    """Return the text frame's content, as the protocol document prints it."""
    data = "null" if command.session_id is None else str(command.session_id)
    return f'{{"type": "{command.type}", "data": {data}}}'.encode()


def schema(command_type: CommandType) -> dict[str, Any]:
    """Return the JSON Schema of what `encode` writes and `decode` reads, for one command."""
    without = command_type in _WITHOUT_SESSION
    return {
        "type": "object",
        "required": ["type", "data"],
        "additionalProperties": False,
        "properties": {
            "type": {"const": str(command_type)},
            "data": {"type": "null"}
            if without
            else {"type": "integer", "minimum": 1, "description": "the session's id"},
        },
    }


def decode(text: str | bytes) -> Command:
    """Read a frame as strictly as `encode` writes it.

    Raises NotACommand for anything that is not JSON, has other fields, an unknown type, or a session id where none
    belongs (or none where one does).
    """
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NotACommand("not JSON") from error
    if not isinstance(message, dict) or message.keys() != {"type", "data"}:
        raise NotACommand("not an object with exactly the fields type and data")
    try:
        command_type = CommandType(message["type"])
    except ValueError as error:
        raise NotACommand("unknown type") from error
    session_id = message["data"]
    if command_type in _WITHOUT_SESSION:
        if session_id is not None:
            raise NotACommand(f"{command_type} carries no session")
    elif type(session_id) is not int or session_id < 1:
        raise NotACommand(f"{command_type} needs a session id")
    return Command(command_type, session_id)
