"""What each operation may refuse, as errors of the tree with a sentence as it is really said. For OpenAPI alone.

`@refuses` names what is an operation's own. What follows from its credential, its body and its headers is known from
these (`openapi.py`).
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from duckycart.errors import (
    BadRequest,
    Conflict,
    DuckyCartError,
    Forbidden,
    Gone,
    Mismatch,
    NotFound,
    ProviderFailed,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)
from duckycart.lifecycle.boots import BAD_BOOT_ID
from duckycart.lifecycle.transitions import TABLE, Event, Refused
from duckycart.origins import FOREIGN

NOT_STORABLE: Final = BadRequest(
    "not_storable", "A number is too large, or a text too long or with characters that cannot be kept."
)
NOT_A_QR: Final = BadRequest("not_a_qr", "This is not a QR of this shop.")
BAD_KEY: Final = BadRequest("bad_idempotency_key", "Idempotency-Key must be 1 to 200 visible ASCII characters.")
BAD_BOOT: Final = BadRequest("bad_boot_id", BAD_BOOT_ID)
LINE_FULL: Final = BadRequest("line_full", "More than 999 units or 1000 kg of one product.")
BASKET_FULL: Final = BadRequest("basket_full", "More than 500 different products in one basket.")
PAYMENT_NOT_KNOWN_YET: Final = Unavailable(
    "payment_not_known_yet", "This payment may still be in the making; send it again.", retry_after=5
)
NOT_THE_PROVIDERS: Final = (
    BadRequest("bad_signature", "The webhook's signature is wrong."),
    BadRequest("old_signature", "The webhook's signature is too old."),
    BadRequest("bad_webhook", "The webhook is not of the form this provider sends."),
)

NO_CREDENTIAL: Final = (
    Unauthenticated("no_credential", "This call needs a credential: a cart's key or an access token."),
    Unauthenticated("bad_token", "The access token is not valid; please sign in again."),
    Unauthenticated("expired_token", "The access token has expired; please sign in again."),
    Unauthenticated("ended_unpaid", "The session of this screen has ended, and nothing was paid."),
)
WRONG_LOGIN: Final = Unauthenticated("wrong_login", "Wrong e-mail, user name or password.")

WRONG_KEY: Final = Forbidden("wrong_key", "Unknown or disabled cart, or wrong key.")
CARTS_ONLY: Final = Forbidden("carts_only", "Only a cart may do this, with its own key.")
SHOPPERS_ONLY: Final = Forbidden("shoppers_only", "Only a shopper may do this, with an access token.")
ANOTHER_CART: Final = Forbidden("another_cart", "This credential does not open that cart.")
SCREEN_KEY_WITHDRAWN: Final = Forbidden("screen_key_withdrawn", "The key of this screen was replaced or withdrawn.")
FOREIGN_ORIGIN: Final = Forbidden("foreign_origin", FOREIGN)
USER_INACTIVE: Final = Forbidden("user_inactive", "This account is closed.")
GUEST_ELSEWHERE: Final = Forbidden(
    "guest_other_session", "A guest joins with the QR it began with; please scan again as a new guest."
)

UNKNOWN_CART: Final = NotFound("unknown_cart", "There is no cart 1.")
UNKNOWN_SESSION: Final = NotFound("unknown_session", "There is no session 7 of yours.")
NO_ACTIVE_SESSION: Final = NotFound("no_active_session", "Cart 1 has no active session.")
UNKNOWN_PRODUCT: Final = NotFound("unknown_product", "There is no product with barcode 6221000000012.")
NOT_IN_BASKET: Final = NotFound("not_in_basket", "Product 6221000000012 is not in the basket.")
NO_FEEDBACK: Final = NotFound("no_feedback", "There is no feedback for session 7 yet.")
NO_PAYMENT: Final = NotFound("no_payment", "Session 7 has no payment yet.")
UNKNOWN_PROVIDER: Final = NotFound("unknown_provider", "This payment provider is not in use here.")

CART_UNFIT: Final = (
    Conflict("out_of_service", "This cart is out of service; please take another one.", cart_id=1),
    Conflict("cart_offline", "This cart is not connected; please take another one.", cart_id=1),
)
SHOPPER_HAS_SESSION: Final = Conflict(
    "shopper_has_session", "You already have a session with cart 1.", session_id=7, cart_id=1
)
BASKET_NOT_EMPTY: Final = Conflict(
    "basket_not_empty", "The basket is not empty; put the items back or pay.", session_id=7
)
BASKET_EMPTY: Final = Conflict("basket_empty", "The basket is empty; there is nothing to pay.", session_id=7)
ACCOUNT_TAKEN: Final = Conflict("account_taken", "There is already an account with this e-mail or user name.")

QR_VOID: Final = (
    Gone("qr_void", "This QR was already used; please scan the one on the cart now.", cart_id=1),
    Gone("qr_expired", "This QR has expired; please scan the one on the cart now.", cart_id=1),
)
SESSION_GONE: Final = Gone("session_over", "This session is over.", session_id=7)

KEY_REUSED: Final = Mismatch("idempotency_key_reused", "This Idempotency-Key was used for another request.")
TOO_MANY: Final = TooManyRequests("too_many_requests", "Too many attempts; please wait a moment.", retry_after=6)
TOO_MANY_LISTENERS: Final = TooManyRequests(
    "too_many_listeners", "Too many screens and phones listen already.", retry_after=30
)
PROVIDER_FAILED: Final = ProviderFailed("provider_failed", "The payment could not be created; please try again.")

UNAVAILABLE: Final = (
    Unavailable("stopping", "The server is stopping.", retry_after=2),
    Unavailable("database_unavailable", "The database could not do this now; nothing was changed.", retry_after=1),
)
DRAINING: Final = Unavailable("draining", "The server is stopping.", retry_after=2)
TOO_MANY_OPENINGS: Final = Unavailable("too_many_openings", "Too many screens and phones come at once.", retry_after=2)
NO_PLACES: Final = Unavailable("no_places", "The server has no place for one more connection.", retry_after=5)
# Of all that writes.
WRITES: Final = (
    Conflict("against_the_rules", "The database does not take this; trying again does not help."),
    Conflict("conflict", "Another request changed this first; look at the present state and try again."),
    Unavailable(
        "outcome_unknown",
        "The database went away while it committed; look at the present state, or repeat.",
        retry_after=1,
    ),
    Unavailable("overloaded", "The server has too much to do; try again shortly.", retry_after=2),
)


def refused(event: Event) -> tuple[Conflict, ...]:
    """What the transition table says against an event."""
    entries = {entry for entry in TABLE[event].values() if isinstance(entry, Refused)}
    return tuple(Conflict(entry.code, entry.detail) for entry in sorted(entries, key=lambda entry: entry.code))


SESSION_OVER: Final = refused(Event.END_BY_FORCE)

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])
REFUSALS: Final[dict[Callable[..., Any], tuple[DuckyCartError, ...]]] = {}


def refuses(*errors: DuckyCartError) -> Callable[[Endpoint], Endpoint]:
    """Names an operation's own refusals; stands below the router's decorator."""

    def declare(endpoint: Endpoint) -> Endpoint:
        REFUSALS[endpoint] = errors
        return endpoint

    return declare
