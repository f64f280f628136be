"""Signed tokens (JWT, RFC 7519). Each states its purpose and is accepted for that alone (F23)."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import jwt

from duckycart.clock import Clock
from duckycart.errors import BadRequest, Unauthenticated

ACCESS_SECONDS: Final = 12 * 3600
SCREEN_SECONDS: Final = 24 * 3600  # the real limit is the session's (lifecycle/who.py)
CART_SCREEN_SECONDS: Final = 400 * 24 * 3600  # as long as browsers keep a cookie; each QR renews it
MAX_TOKEN: Final = 2000  # characters
REMEMBERED: Final = 4096  # tokens whose signature was checked


@dataclass(frozen=True, slots=True)
class QrToken:
    cart_id: int
    round: int
    expires_at: int  # milliseconds; judged at use by the transition, under the cart's lock


@dataclass(frozen=True, slots=True)
class AccessToken:
    user_id: int
    is_operator: bool


@dataclass(frozen=True, slots=True)
class ScreenToken:
    session_id: int


@dataclass(frozen=True, slots=True)
class CartScreenToken:
    cart_id: int
    key: str  # which key it was given for (lifecycle/screens.py)


class Tokens:
    """Signs with the newest key, accepts all that are kept."""

    def __init__(self, keys: dict[str, bytes], clock: Clock) -> None:
        self._keys = keys
        self._clock = clock
        self._read = lru_cache(REMEMBERED)(self._read_anew)  # a shopper shows the same token with every call

    def qr(self, token: QrToken) -> str:
        """A JWT with numeric `exp` (seconds) and `cartid`, as fielded screens read it."""
        return self._sign(
            {"purpose": "qr", "cartid": token.cart_id, "round": token.round, "exp": token.expires_at // 1000}
        )

    def access(self, token: AccessToken) -> str:
        expires = self._clock.now() // 1000 + ACCESS_SECONDS
        return self._sign(
            {"purpose": "access", "sub": str(token.user_id), "operator": token.is_operator, "exp": expires}
        )

    def screen(self, token: ScreenToken) -> str:
        expires = self._clock.now() // 1000 + SCREEN_SECONDS
        return self._sign({"purpose": "screen", "session": token.session_id, "exp": expires})

    def cart_screen(self, token: CartScreenToken) -> str:
        expires = self._clock.now() // 1000 + CART_SCREEN_SECONDS
        return self._sign({"purpose": "cart-screen", "cart": token.cart_id, "key": token.key, "exp": expires})

    def read_qr(self, text: str) -> QrToken:
        """The token, or the URL that the picture holds. Raises BadRequest for anything but a QR of ours."""
        text = text.strip().rsplit("/s/", 1)[-1]
        try:
            claims = self._read(text, ("qr",))
            return QrToken(_whole(claims["cartid"]), _whole(claims["round"]), _whole(claims["exp"]) * 1000)
        except (jwt.InvalidTokenError, KeyError, TypeError) as error:
            raise BadRequest("not_a_qr", "This is not a QR of this shop.") from error

    def read_bearer(self, text: str) -> AccessToken | ScreenToken:
        """An access token or a screen's. Raises Unauthenticated for a malformed, foreign or expired one."""
        token: AccessToken | ScreenToken
        try:
            claims = self._read(text, ("access", "screen"))
            if claims["purpose"] == "screen":
                token = ScreenToken(_whole(claims["session"]))
            else:
                token = AccessToken(int(claims["sub"]), bool(claims["operator"]))
            expires = _whole(claims["exp"])
        except (jwt.InvalidTokenError, KeyError, TypeError, ValueError) as error:
            raise Unauthenticated("bad_token", "The access token is not valid; please sign in again.") from error
        if self._clock.now() // 1000 >= expires:
            raise Unauthenticated("expired_token", "The access token has expired; please sign in again.")
        return token

    def read_cart_screen(self, text: str) -> CartScreenToken:
        """The cookie of a cart's screen. Raises Unauthenticated for a malformed, foreign or expired one."""
        try:
            claims = self._read(text, ("cart-screen",))
            token, expires = CartScreenToken(_whole(claims["cart"]), str(claims["key"])), _whole(claims["exp"])
        except (jwt.InvalidTokenError, KeyError, TypeError) as error:
            raise Unauthenticated("bad_token", "The screen's cookie is not valid; it needs its key again.") from error
        if self._clock.now() // 1000 >= expires:
            raise Unauthenticated("expired_token", "The screen's cookie has expired; it needs its key again.")
        return token

    def _sign(self, claims: dict[str, Any]) -> str:
        kid = next(reversed(self._keys))
        return jwt.encode(claims, self._keys[kid], algorithm="HS256", headers={"kid": kid})

    def _read_anew(self, text: str, purposes: tuple[str, ...]) -> dict[str, Any]:
        """The claims, if the signature is ours and the purpose one of these. Expiry is the caller's matter."""
        if len(text) > MAX_TOKEN:
            raise jwt.InvalidTokenError("too long")
        key = self._keys.get(str(jwt.get_unverified_header(text).get("kid")))
        if key is None:
            raise jwt.InvalidTokenError("unknown key")
        options: Any = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}
        claims: dict[str, Any] = jwt.decode(text, key, algorithms=["HS256"], options=options)
        if claims.get("purpose") not in purposes:
            raise jwt.InvalidTokenError("another purpose")
        return claims


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError("not an integer")
    return value
