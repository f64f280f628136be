"""A call, stream or page may be refused for these: each with its kind, its code, its sentence, and what the answer
shows besides. `errors.py` says what each kind means; what goes together has a name at the end."""

from typing import Final

from duckycart.errors import (
    BadRequest,
    Conflict,
    DuckyCartError,
    Forbidden,
    Gone,
    Invalid,
    MethodNotAllowed,
    Mismatch,
    NotFound,
    ProviderFailed,
    Refusal,
    TooLarge,
    TooLong,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)

# The request
BAD_BODY: Final = Refusal(BadRequest, "bad_request", "The body cannot be read.")
BAD_BOOT_ID: Final = Refusal(BadRequest, "bad_boot_id", "Cart-Boot-Id must be 1 to {length} visible ASCII characters.")
BAD_IDEMPOTENCY_KEY: Final = Refusal(
    BadRequest, "bad_idempotency_key", "Idempotency-Key must be 1 to {length} visible ASCII characters."
)
NOT_STORABLE: Final = Refusal(
    BadRequest, "not_storable", "A number is too large, or a text too long or with characters that cannot be kept."
)
TLS_ONLY: Final = Refusal(BadRequest, "tls_only", "This port speaks TLS: please use https or wss.")
NOT_FOUND: Final = Refusal(NotFound, "not_found", "There is nothing at this address.")
METHOD_NOT_ALLOWED: Final = Refusal(MethodNotAllowed, "method_not_allowed", "This address does not take that method.")
BODY_TOO_LARGE: Final = Refusal(TooLarge, "body_too_large", "The body is over {bytes} bytes.")
QUERY_TOO_LONG: Final = Refusal(TooLong, "query_too_long", "The query string is over {bytes} bytes.")
INVALID_JSON: Final = Refusal(Invalid, "invalid_json", "{why}")
NO_OBJECT: Final = INVALID_JSON.saying("The body must be an object, like {{…}}, not {kind}.")
NO_TEXT: Final = INVALID_JSON.saying("The field {field!a} must be a text, not {kind}.")
INVALID_REQUEST: Final = Refusal(Invalid, "invalid_request", "{why}", ("errors",))
KEY_REUSED: Final = Refusal(Mismatch, "idempotency_key_reused", "This Idempotency-Key was used for another request.")
TOO_MANY_REQUESTS: Final = Refusal(TooManyRequests, "too_many_requests", "Too many attempts; please wait a moment.")
TOO_MANY_LISTENERS: Final = Refusal(
    TooManyRequests, "too_many_listeners", "Too many screens and phones listen already.", retry_after=30
)
INTERNAL_ERROR: Final = Refusal(DuckyCartError, "internal_error", "Something went wrong here; nobody's fault but ours.")

# Who asks
NO_CREDENTIAL: Final = Refusal(
    Unauthenticated, "no_credential", "This call needs a credential: a cart's key or an access token."
)
BAD_TOKEN: Final = Refusal(Unauthenticated, "bad_token", "The access token is not valid; please sign in again.")
BAD_COOKIE: Final = BAD_TOKEN.saying("The screen's cookie is not valid; it needs its key again.")
EXPIRED_TOKEN: Final = Refusal(Unauthenticated, "expired_token", "The access token has expired; please sign in again.")
EXPIRED_COOKIE: Final = EXPIRED_TOKEN.saying("The screen's cookie has expired; it needs its key again.")
EXPIRED_GUEST: Final = EXPIRED_TOKEN.saying("This guest's session is over; please scan the QR on a cart again.")
EXPIRED_SCREEN: Final = EXPIRED_TOKEN.saying("The session of this screen is over.")
ENDED_UNPAID: Final = Refusal(
    Unauthenticated, "ended_unpaid", "The session of this screen has ended, and nothing was paid."
)
WRONG_LOGIN: Final = Refusal(Unauthenticated, "wrong_login", "Wrong e-mail, user name or password.")
WRONG_KEY: Final = Refusal(Forbidden, "wrong_key", "Unknown or disabled cart, or wrong key.")
BAD_CLAIM_CODE: Final = Refusal(
    Forbidden, "bad_claim_code", "This claim code is none, was used, or is too old; ask the operator for a new one."
)
CARTS_ONLY: Final = Refusal(Forbidden, "carts_only", "Only a cart may do this, with its own key.")
SHOPPERS_ONLY: Final = Refusal(Forbidden, "shoppers_only", "Only a shopper may do this, with an access token.")
ANOTHER_CART: Final = Refusal(Forbidden, "another_cart", "This credential does not open that cart.")
SCREEN_KEY_WITHDRAWN: Final = Refusal(
    Forbidden, "screen_key_withdrawn", "The key of this screen was replaced or withdrawn."
)
FOREIGN_ORIGIN: Final = Refusal(
    Forbidden,
    "foreign_origin",
    "A web page of another origin may not do this without a credential. If the page is yours, name its origin in "
    "DUCKYCART_CORS_ORIGINS.",
)
FOREIGN_HOST: Final = FOREIGN_ORIGIN.saying(
    "This server does not know the name it was asked by. If the name is yours, set DUCKYCART_PUBLIC_URL, or name its "
    "origin in DUCKYCART_CORS_ORIGINS."
)
USER_INACTIVE: Final = Refusal(Forbidden, "user_inactive", "This account is closed.")
GUEST_ELSEWHERE: Final = Refusal(
    Forbidden, "guest_other_session", "A guest joins with the QR it began with; please scan again as a new guest."
)
ACCOUNT_TAKEN: Final = Refusal(Conflict, "account_taken", "There is already an account with this e-mail or user name.")

# Carts and sessions
UNKNOWN_CART: Final = Refusal(NotFound, "unknown_cart", "There is no cart {cart_id}.")
NO_ACTIVE_SESSION: Final = Refusal(NotFound, "no_active_session", "Cart {cart_id} has no active session.")
UNKNOWN_SESSION: Final = Refusal(NotFound, "unknown_session", "There is no session {session_id} of yours.")
NO_SUCH_SESSION: Final = UNKNOWN_SESSION.saying("There is no such session.")
NO_FEEDBACK: Final = Refusal(NotFound, "no_feedback", "There is no feedback for session {session_id} yet.")
NOT_A_QR: Final = Refusal(BadRequest, "not_a_qr", "This is not a QR of this shop.")
QR_VOID: Final = Refusal(
    Gone, "qr_void", "This QR was already used; please scan the one on the cart now.", ("cart_id",)
)
QR_EXPIRED: Final = Refusal(
    Gone, "qr_expired", "This QR has expired; please scan the one on the cart now.", ("cart_id",)
)
OUT_OF_SERVICE: Final = Refusal(
    Conflict, "out_of_service", "This cart is out of service; please take another one.", ("cart_id",)
)
CART_OFFLINE: Final = Refusal(
    Conflict, "cart_offline", "This cart is not connected; please take another one.", ("cart_id",)
)
CART_BUSY: Final = Refusal(Conflict, "cart_busy", "This cart is in use.", ("cart_id",))
SHOPPER_HAS_SESSION: Final = Refusal(
    Conflict, "shopper_has_session", "You already have a session with cart {cart_id}.", ("session_id", "cart_id")
)
SESSION_OVER: Final = Refusal(Conflict, "session_over", "This session is over.", ("session_id",))
SESSION_GONE: Final = Refusal(Gone, SESSION_OVER.code, SESSION_OVER.sentence, ("session_id",))  # nothing more is heard
BASKET_NOT_EMPTY: Final = Refusal(
    Conflict, "basket_not_empty", "The basket is not empty; put the items back or pay.", ("session_id",)
)

# The basket
UNKNOWN_PRODUCT: Final = Refusal(NotFound, "unknown_product", "There is no product with barcode {barcode}.")
NOT_IN_BASKET: Final = Refusal(NotFound, "not_in_basket", "Product {barcode} is not in the basket.")
LINE_FULL: Final = Refusal(BadRequest, "line_full", "More than {units} units or {kilograms} kg of one product.")
BASKET_FULL: Final = Refusal(BadRequest, "basket_full", "More than {lines} different products in one basket.")
BASKET_EMPTY: Final = Refusal(
    Conflict, "basket_empty", "The basket is empty; there is nothing to pay.", ("session_id",)
)
BASKET_FROZEN: Final = Refusal(
    Conflict, "basket_frozen", "A payment exists, so the basket cannot change any more.", ("session_id",)
)

# The payment
NO_PAYMENT: Final = Refusal(NotFound, "no_payment", "Session {session_id} has no payment yet.")
NO_SUCH_PAYMENT: Final = NO_PAYMENT.saying("There is no such payment.")
PAYMENT_OPEN: Final = Refusal(
    Conflict, "payment_open", "A payment is open for this session; pay it or cancel it first.", ("session_id",)
)
PAYMENT_NOT_CREATING: Final = Refusal(
    Conflict, "payment_not_creating", "This payment is no longer being created.", ("session_id",)
)
UNPAID: Final = Refusal(Conflict, "unpaid", "The basket is not paid yet.", ("session_id",))
PROVIDER_FAILED: Final = Refusal(
    ProviderFailed, "provider_failed", "The payment could not be created; please try again."
)
UNKNOWN_PROVIDER: Final = Refusal(NotFound, "unknown_provider", "This payment provider is not in use here.")
BAD_SIGNATURE: Final = Refusal(BadRequest, "bad_signature", "The webhook's signature is wrong.")
NOT_SIGNED: Final = BAD_SIGNATURE.saying("The webhook is not signed.")
OLD_SIGNATURE: Final = Refusal(BadRequest, "old_signature", "The webhook's signature is too old.")
BAD_WEBHOOK: Final = Refusal(BadRequest, "bad_webhook", "The webhook is not of the form this provider sends.")
UNREADABLE_WEBHOOK: Final = BAD_WEBHOOK.saying("{why}")
UNNAMED_WEBHOOK: Final = BAD_WEBHOOK.saying("The webhook's id and type must be short texts.")
ABSURD_WEBHOOK: Final = BAD_WEBHOOK.saying("The webhook's payment, amount or currency makes no sense.")
PAYMENT_NOT_KNOWN_YET: Final = Refusal(
    Unavailable, "payment_not_known_yet", "This payment may still be in the making; send it again.", retry_after=5
)

# The server and its database
STOPPING: Final = Refusal(Unavailable, "stopping", "The server is stopping.", retry_after=2)
DRAINING: Final = Refusal(Unavailable, "draining", STOPPING.sentence, retry_after=STOPPING.retry_after)
NO_PLACES: Final = Refusal(Unavailable, "no_places", "The server has no place for one more connection.", retry_after=5)
TOO_MANY_OPENINGS: Final = Refusal(
    Unavailable, "too_many_openings", "Too many screens and phones come at once.", retry_after=2
)
OVERLOADED: Final = Refusal(
    Unavailable, "overloaded", "The server has too much to do; try again shortly.", retry_after=2
)
CONFLICT: Final = Refusal(
    Conflict, "conflict", "Another request changed this first; look at the present state and try again."
)
AGAINST_THE_RULES: Final = Refusal(
    Conflict, "against_the_rules", "The database does not take this; trying again does not help."
)
DATABASE_UNAVAILABLE: Final = Refusal(
    Unavailable,
    "database_unavailable",
    "The database could not do this now; nothing was changed.",
    retry_after=1,
)
OUTCOME_UNKNOWN: Final = Refusal(
    Unavailable,
    "outcome_unknown",
    "The database went away while it committed; look at the present state, or repeat.",
    retry_after=1,
)
DATABASE_FULL: Final = Refusal(
    Unavailable,
    "database_full",
    "The disk of the database is full; make room, then it goes on by itself.",
    retry_after=5,
)
DATABASE_LOCKED: Final = Refusal(
    Unavailable,
    "database_locked",
    "Another program keeps the database locked; end it, then it goes on by itself.",
    retry_after=5,
)
DATABASE_READ_ONLY: Final = Refusal(
    Unavailable,
    "database_read_only",
    "The database can be read, but not written; look at its disk, or at its standby.",
    retry_after=5,
)
DATABASE_FILE_GONE: Final = Refusal(
    Unavailable,
    "database_file_gone",
    "The file of the database was deleted, moved or replaced under the server; put it back, or restart the server.",
    retry_after=5,
)
DATABASE_SILENT: Final = Refusal(Unavailable, "database_silent", "The database does not answer.", retry_after=5)

# What goes together
BAD_CREDENTIAL: Final = (NO_CREDENTIAL, BAD_TOKEN, EXPIRED_TOKEN, ENDED_UNPAID)
CART_UNFIT: Final = (OUT_OF_SERVICE, CART_OFFLINE)
NOT_THE_PROVIDERS: Final = (BAD_SIGNATURE, OLD_SIGNATURE, BAD_WEBHOOK)
STORE_FAILS: Final = (STOPPING, DATABASE_UNAVAILABLE)  # of all that asks the store
WRITE_FAILS: Final = (AGAINST_THE_RULES, CONFLICT, OUTCOME_UNKNOWN, OVERLOADED)  # of all that writes, besides
NOT_READY: Final = (DATABASE_FULL, DATABASE_LOCKED, DATABASE_READ_ONLY, DATABASE_FILE_GONE, DATABASE_SILENT)
