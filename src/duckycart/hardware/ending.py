"""Two closed lists say why a cart's connection ended, and why one was never opened: for the log and for operators."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from duckycart.guards.frames import FLOOD
from duckycart.refusals import FOREIGN_ORIGIN, STOPPING, WRONG_KEY

WITHDRAWN_OR_FLOOD: Final = 1008
RESTART: Final = 1012
DEAD: Final = 4408
TAKEN_OVER: Final = 4409


class Ended(StrEnum):
    """Why a connection that had been claimed for its cart ended. The first cause counts, not what follows from it."""

    CART_CLOSED = "cart_closed"
    CART_LEFT = "cart_left"
    BROKEN = "broken"
    PROTOCOL_ERROR = "protocol_error"
    FRAME_TOO_BIG = "frame_too_big"
    FLOOD = "flood"
    DID_NOT_READ = "did_not_read"
    NO_PONG = "no_pong"
    TAKEN_OVER = "taken_over"
    WITHDRAWN = "withdrawn"
    NEVER_OPENED = "never_opened"
    SERVER_STOPPED = "server_stopped"
    DRAINED = "drained"
    ERROR = "error"
    NODE_GONE = "node_gone"  # never written: what is concluded of a connection whose end nobody wrote

    @property
    def by(self) -> "By":
        """Who ended the connection."""
        return _ENDED[self][0]

    @property
    def words(self) -> str:
        """Why the connection ended, for people: the second half of a sentence."""
        return _ENDED[self][1]


By = Literal["cart", "network", "server", "operator"]

_ENDED: Final[dict[Ended, tuple[By, str]]] = {
    Ended.CART_CLOSED: ("cart", "the cart closed it"),
    Ended.CART_LEFT: ("cart", "the cart's program, or a proxy before it, hung up without a close frame"),
    Ended.BROKEN: ("network", "the connection was reset or could not be reached any more"),
    Ended.PROTOCOL_ERROR: ("server", "the cart broke the WebSocket protocol"),
    Ended.FRAME_TOO_BIG: ("server", "the cart sent a frame that is too big"),
    Ended.FLOOD: ("server", "the cart sent too many frames"),
    Ended.DID_NOT_READ: ("server", "the cart did not read what it was sent"),
    Ended.NO_PONG: ("server", "no pong came: the cart, its radio or its network is dead"),
    Ended.TAKEN_OVER: ("cart", "a newer connection of this cart took over"),
    Ended.WITHDRAWN: ("operator", "the cart's key was changed or the cart disabled"),
    Ended.NEVER_OPENED: ("cart", "it went away, or another was quicker, while its handshake was under way"),
    Ended.SERVER_STOPPED: ("server", "the server stopped"),
    Ended.DRAINED: ("server", "the server sent its carts to the other servers"),
    Ended.ERROR: ("server", "an error of the server, see its log"),
    Ended.NODE_GONE: ("server", "its server was killed, or lost its database, and nobody wrote down the end"),
}

_RESTARTS: Final = (RESTART, "the server restarts")
# The close code and its reason on the wire, where this side says the first word.
CLOSES: Final[dict[Ended, tuple[int, str]]] = {
    Ended.FLOOD: (WITHDRAWN_OR_FLOOD, FLOOD),
    Ended.NO_PONG: (DEAD, "no pong"),
    Ended.TAKEN_OVER: (TAKEN_OVER, Ended.TAKEN_OVER.words),
    Ended.WITHDRAWN: (WITHDRAWN_OR_FLOOD, Ended.WITHDRAWN.words),
    Ended.SERVER_STOPPED: _RESTARTS,
    Ended.DRAINED: _RESTARTS,
}


@dataclass(frozen=True, slots=True)
class Ending:
    """What is known of a connection once it is over."""

    reason: Ended
    code: int | None = None  # of the close frame of whoever closed it first, None when nobody did
    milliseconds: int = 0  # from the opening on
    sent: int = 0  # commands
    received: int = 0  # of them read by the cart's socket


@dataclass(frozen=True, slots=True)
class Gone:
    """A link that is over, and what is known of its end."""

    cart_id: int
    epoch: int
    ending: Ending | None = None  # None: no process knows how


class Refused(StrEnum):
    """Why a cart was not let in. Several share one answer, so that neither ids nor keys can be probed."""

    BAD_REQUEST = "bad_request"  # the URL or a header cannot be understood
    NO_KEY = "no_key"
    FOREIGN_PAGE = "foreign_page"  # without a key, and a web page of another origin
    UNKNOWN_CART = "unknown_cart"
    DISABLED = "disabled"
    WRONG_KEY = "wrong_key"
    TOO_OFTEN = "too_often"
    OVERTAKEN = "overtaken"  # a newer connection of this cart was quicker
    STOPPING = "stopping"
    NOT_CLAIMED = "not_claimed"  # the database did not do it in time
    TOO_EARLY = "too_early"  # it sent too much before it was answered
    CART_LEFT = "cart_left"  # before it was answered
    ERROR = "error"  # of ours

    @property
    def status(self) -> int:
        """The HTTP status that such a cart is answered with."""
        return _ANSWERS[self][0]

    @property
    def sentence(self) -> str:
        return _ANSWERS[self][1]


_NOT_NOW: Final = (503, "The server cannot take the cart now; come back shortly.")
_NOT_YOURS: Final = (403, WRONG_KEY.sentence)

_ANSWERS: Final[dict[Refused, tuple[int, str]]] = {
    Refused.BAD_REQUEST: (400, "The request cannot be understood."),
    Refused.NO_KEY: (401, "The cart's key is missing: send it as X-API-Key, as Authorization: Bearer, or as ?key=."),
    Refused.FOREIGN_PAGE: (403, FOREIGN_ORIGIN.sentence),
    Refused.UNKNOWN_CART: _NOT_YOURS,
    Refused.DISABLED: _NOT_YOURS,
    Refused.WRONG_KEY: _NOT_YOURS,
    Refused.TOO_OFTEN: (429, "This cart connects too often; do two carts use one key?"),
    Refused.OVERTAKEN: (503, "A newer connection of this cart was quicker."),
    Refused.STOPPING: (503, STOPPING.sentence),
    Refused.NOT_CLAIMED: _NOT_NOW,
    Refused.TOO_EARLY: (503, "Wait for the answer to the handshake."),
    Refused.CART_LEFT: (503, "The cart went away."),
    Refused.ERROR: _NOT_NOW,
}
