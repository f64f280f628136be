"""The log has one line per thing that matters, for people on a terminal and as JSON in a pipe, with secrets masked."""

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any, Final, Literal

import structlog
from structlog.typing import EventDict, WrappedLogger

_SECRETS: Final = (
    (re.compile(r"(?i)([?&](?:key|token|boot)=)[^&\s\"'\\]+"), r"\1***"),
    # As a header line, or as Python or JSON would write one.
    (re.compile(r"(?i)((?:bearer|x-api-key|cookie)\b\\?[\"']?[:=,]?\s*b?\\?[\"']?)[^\s\"',;)\\]{8,}"), r"\1***"),
    (re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*"), "***"),  # a JWT, wherever it stands
    (re.compile(r"(/pay/)[0-9a-f]{32}"), r"\1***"),
)


# One of these is in whatever a pattern finds, in small letters or as it stands. Most lines have none, and to look for
# them costs a twentieth of the patterns. No letter here has a relative that a pattern takes for it, as `k` has one in
# the Kelvin sign.
_SIGNS: Final = ("?", "&", "bearer", "x-ap", "coo")
_EXACT_SIGNS: Final = ("eyJ", "/pay/")


def mask(text: str) -> str:
    """Return the text without keys, tokens and pay pages."""
    small = text.lower()
    if not any(sign in small for sign in _SIGNS) and not any(sign in text for sign in _EXACT_SIGNS):
        return text
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def _mask_line(_logger: WrappedLogger, _method: str, line: Any) -> str:
    return mask(str(line))


def lost_line(count: int) -> str:
    """Return the line that says how many lines were lost, because nobody read them or they could not be written."""
    event: Any = {"event": "lines lost, nobody took them", "count": count}
    for processor in structlog.get_config()["processors"]:
        event = processor(None, "warning", event)
    return f"{event}\n"


_encode: Final = json.JSONEncoder(default=repr).encode


def json_line(_logger: WrappedLogger, method: str, event: EventDict) -> str:
    """Return the line of JSON that structlog's own processors would make, at a third of their cost: each session writes
    some twenty."""
    event["level"] = "error" if method == "exception" else method
    event["timestamp"] = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    if "exc_info" in event:
        event = structlog.processors.format_exc_info(_logger, method, event)
    return mask(_encode(event))


class _Forward(logging.Handler):
    """A handler that sends the lines of libraries the same way as ours, so that they are masked too."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger()
        log.log(record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info)


def _says_something(record: logging.LogRecord) -> bool:
    """Return False for uvicorn's error line about a WebSocket that got an answer of our own, as screens do every
    day."""
    return record.msg != "ASGI callable returned without completing handshake."


def configure(log_format: Literal["auto", "text", "json"]) -> None:
    """Set up this process's log on standard error; `outlet.write_behind` before it, where nobody may wait for that."""
    text = log_format == "text" or (log_format == "auto" and sys.stderr.isatty())
    for_people: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        structlog.dev.ConsoleRenderer(),
        _mask_line,
    ]
    structlog.configure(
        processors=for_people if text else [json_line],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_Forward()], level=logging.WARNING, force=True)
    uvicorn = logging.getLogger("uvicorn.error")
    uvicorn.setLevel(logging.WARNING)
    uvicorn.addFilter(_says_something)
    logging.getLogger("duckycart.websockets").setLevel(logging.WARNING)
