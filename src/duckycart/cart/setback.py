"""A setback is what went wrong with the server: a sentence that says what to do, and how long to wait at least."""

import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import httpx2
from websockets.exceptions import InvalidMessage

SLOWLY: Final = 60.0  # seconds to the next try of what only a person can change


@dataclass(frozen=True, slots=True)
class Setback:
    sentence: str
    at_least: float = 0.0  # seconds to wait before the next try, however short the back-off is


# What only a person can change is tried again slowly: the person may change it on the server.
_REFUSALS: Final = {
    400: "The server does not understand this cart: check its id and the URL.",
    401: "The server wants this cart's key: set DUCKYCART_KEY to the one shown when the cart was created.",
    403: "The server does not let this cart in: its key is wrong, or it is unknown or disabled there. "
    "Check its id and its key with the operator.",
    404: "There is no cart server at this URL: check it.",
}
_PASSING: Final = {
    429: "This cart connects too often.",
    503: "The server is busy or about to stop.",
}
_CLOSES: Final = {
    1000: Setback("The server closed the connection."),
    1001: Setback("The server stops."),
    1006: Setback("The connection broke."),
    1008: Setback("The server withdrew this cart's key: ask the operator for the new one.", SLOWLY),
    1012: Setback("The server restarts."),
    4408: Setback("The server did not hear from this cart for too long."),
    # Connecting again at once would take the cart back, and so on for ever, many times a second.
    4409: Setback("Another program connected as this cart: stop one of the two.", SLOWLY),
}


def refused(status: int, retry_after: str | None) -> Setback:
    """Return the setback of an answer whose HTTP status is not the wanted one.

    `retry_after` is that header. Its form with a date is not read: it needs a clock that is right.
    """
    if status in _REFUSALS:
        return Setback(_REFUSALS[status], SLOWLY)
    asked = float(retry_after) if retry_after and re.fullmatch("[0-9]{1,9}", retry_after) else 0.0
    return Setback(_PASSING.get(status, f"The server answered with status {status}."), min(asked, SLOWLY))


def sentence_of(answer: httpx2.Response) -> str | None:
    """Return the sentence for people in a refusal of the server."""
    try:
        detail = answer.json()["detail"]
    except (ValueError, RecursionError, LookupError, TypeError):
        return None
    return detail[:200] if isinstance(detail, str) else None


def closed(code: int | None) -> Setback:
    """Return the setback of a connection that ended with this close code; None means that it broke."""
    code = 1006 if code is None else code
    return _CLOSES.get(code, Setback(f"The server closed the connection with code {code}."))


def unreachable(error: Exception) -> Setback:
    """Return the setback of no connection, or of an answer that could not be understood.

    HTTP calls wrap what happened to the connection in errors of their own, so the causes are looked at too.
    """
    causes = list(_causes(error))
    why = next(filter(None, map(_reason, causes)), None)
    return Setback(f"The server cannot be reached: {why or str(error) or type(causes[-1]).__name__}.")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _reason(error: BaseException) -> str | None:
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there"
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    if isinstance(error, socket.gaierror):
        return "its name is not known"
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not believed ({error.verify_message}). Where the shop has an authority of its own, "
            "name that one's certificate: --ca FILE, or ca in the cart's file"
        )
    if isinstance(error, ConnectionResetError | ssl.SSLEOFError):
        return "it closed the connection at once; perhaps the URL must say http instead of https, or the reverse"
    if "WRONG_VERSION_NUMBER" in str(error) or "record layer" in str(error):
        return "it speaks plain http there, and the URL says https"
    if isinstance(error, httpx2.RemoteProtocolError | InvalidMessage):
        return "what answers there speaks no http; perhaps the URL must say https"
    return None
