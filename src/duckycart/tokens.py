"""Tokens are signed (JWT, RFC 7519). Each states its purpose and is accepted for that alone (F23).

`exp` is the time of day, for people and for screens that read it. What decides is the claim `until`, in milliseconds of
the shop's steady clock; that clock began at the time of day, so `exp` says the same of a token from before there was
one. A screen's token and a guest's are bounded by their session, not by a clock.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import jwt

from duckycart.clock import Clock
from duckycart.refusals import BAD_COOKIE, BAD_TOKEN, EXPIRED_COOKIE, EXPIRED_TOKEN, NOT_A_QR

ACCESS_SECONDS: Final = 12 * 3600
SCREEN_SECONDS: Final = 24 * 3600  # what its `exp` says; the real limit is the session's (lifecycle/access.py)
CART_SCREEN_SECONDS: Final = 400 * 24 * 3600  # as long as browsers keep a cookie; each QR renews it
MAX_TOKEN: Final = 2000  # characters
REMEMBERED: Final = 4096  # tokens that were signed here, or whose signature was checked


@dataclass(frozen=True, slots=True)
class QrToken:
    cart_id: int
    round: int
    expires_at: int  # steady; judged at use by the transition, under the cart's lock


@dataclass(frozen=True, slots=True)
class AccessToken:
    user_id: int
    is_operator: bool
    is_guest: bool = False
    outlived: bool = False  # a guest's, longer ago than ACCESS_SECONDS: only its session can still make it good


@dataclass(frozen=True, slots=True)
class ScreenToken:
    session_id: int


@dataclass(frozen=True, slots=True)
class CartScreenToken:
    cart_id: int
    key: str  # which key it was given for (lifecycle/screens.py)


class Tokens:
    """Makes and reads tokens: signs with the newest key, accepts all that are kept."""

    def __init__(self, keys: dict[str, bytes], clock: Clock, steady: Callable[[], int]) -> None:
        """Take the signing keys; `steady` reads the shop's steady clock."""
        self._keys = keys
        self._clock = clock
        self._steady = steady
        # A shopper shows the same token with every call, and most QRs come back to the server that made them.
        self._known: dict[str, dict[str, Any]] = {}

    def qr(self, token: QrToken) -> str:
        """Return a JWT with numeric `exp` (seconds) and `cartid`, as fielded screens read it."""
        claims = {"purpose": "qr", "cartid": token.cart_id, "round": token.round}
        return self._sign({**claims, **self._good(until=token.expires_at)})

    def access(self, token: AccessToken) -> str:
        claims: dict[str, Any] = {"purpose": "access", "sub": str(token.user_id), "operator": token.is_operator}
        if token.is_guest:
            claims["guest"] = True
        return self._sign({**claims, **self._good_for(ACCESS_SECONDS)})

    def screen(self, token: ScreenToken) -> str:
        return self._sign({"purpose": "screen", "session": token.session_id, **self._good_for(SCREEN_SECONDS)})

    def cart_screen(self, token: CartScreenToken) -> str:
        claims = {"purpose": "cart-screen", "cart": token.cart_id, "key": token.key}
        return self._sign({**claims, **self._good_for(CART_SCREEN_SECONDS)})

    def read_qr(self, text: str) -> QrToken:
        """Read a QR's token, or the URL that the picture holds. Raises BadRequest for anything but a QR of ours."""
        text = text.strip().rsplit("/s/", 1)[-1]
        try:
            claims = self._read(text, ("qr",))
            return QrToken(_whole(claims["cartid"]), _whole(claims["round"]), _until(claims))
        except (jwt.InvalidTokenError, KeyError, TypeError) as error:
            raise NOT_A_QR() from error

    def read_bearer(self, text: str) -> AccessToken | ScreenToken:
        """Read an access token or a screen's. Raises Unauthenticated for a malformed, foreign or expired one.

        Whether the session still makes it good, which bounds a screen's token and a guest's, is the caller's to ask.
        """
        try:
            claims = self._read(text, ("access", "screen"))
            if claims["purpose"] == "screen":
                return ScreenToken(_whole(claims["session"]))
            token = AccessToken(int(claims["sub"]), bool(claims["operator"]), bool(claims.get("guest")))
            outlived = self._steady() >= _until(claims)
        except (jwt.InvalidTokenError, KeyError, TypeError, ValueError) as error:
            raise BAD_TOKEN() from error
        if outlived and not token.is_guest:
            raise EXPIRED_TOKEN()
        return replace(token, outlived=outlived)

    def read_cart_screen(self, text: str) -> CartScreenToken:
        """Read the cookie of a cart's screen. Raises Unauthenticated for a malformed, foreign or expired one."""
        try:
            claims = self._read(text, ("cart-screen",))
            token, expires = CartScreenToken(_whole(claims["cart"]), str(claims["key"])), _until(claims)
        except (jwt.InvalidTokenError, KeyError, TypeError) as error:
            raise BAD_COOKIE() from error
        if self._steady() >= expires:
            raise EXPIRED_COOKIE()
        return token

    def _good_for(self, seconds: int) -> dict[str, int]:
        return self._good(until=self._steady() + seconds * 1000)

    def _good(self, until: int) -> dict[str, int]:
        """Return the claims that say when the token ends, for people and for us."""
        return {"exp": (self._clock.now() + until - self._steady()) // 1000, "until": until}

    def _sign(self, claims: dict[str, Any]) -> str:
        kid = next(reversed(self._keys))
        text = jwt.encode(claims, self._keys[kid], algorithm="HS256", headers={"kid": kid})
        self._remember(text, claims)
        return text

    def _remember(self, text: str, claims: dict[str, Any]) -> None:
        self._known[text] = claims
        if len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]

    def _read(self, text: str, purposes: tuple[str, ...]) -> dict[str, Any]:
        """Return the claims, if the signature is ours and the purpose one of these. Expiry is the caller's matter."""
        claims = self._known.get(text)
        if claims is None:
            claims = self._verified(text)
            self._remember(text, claims)
        if claims.get("purpose") not in purposes:
            raise jwt.InvalidTokenError("another purpose")
        return claims

    def _verified(self, text: str) -> dict[str, Any]:
        if len(text) > MAX_TOKEN:
            raise jwt.InvalidTokenError("too long")
        try:
            key = self._keys.get(str(jwt.get_unverified_header(text).get("kid")))
        except (RecursionError, UnicodeError) as error:  # a header nested a thousand deep
            raise jwt.InvalidTokenError("no header") from error
        if key is None:
            raise jwt.InvalidTokenError("unknown key")
        options: Any = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}
        claims: dict[str, Any] = jwt.decode(text, key, algorithms=["HS256"], options=options)
        return claims


def _until(claims: dict[str, Any]) -> int:
    """Return when a token ends, by the steady clock."""
    return _whole(claims["until"]) if "until" in claims else _whole(claims["exp"]) * 1000


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError("not an integer")
    return value
