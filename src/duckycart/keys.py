"""The keys of carts and screens have a form, travel in a request, and are kept as a hash. Claim codes are typed."""

import re
import secrets
from hashlib import sha256
from typing import Final

MIN_KEY: Final = 32  # characters of a key that somebody gives; what it should be is random
MAX_KEY: Final = 200
KEY_TEXT: Final = r"^[A-Za-z0-9_-]+$"  # a key travels in headers and URLs

_KEY: Final = re.compile(rf"[A-Za-z0-9_-]{{{MIN_KEY},{MAX_KEY}}}")
_RANDOM_BYTES: Final = 32  # 256 bits
_LETTERS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's Base32
_MISREAD: Final = str.maketrans("OIL", "011")
_CODE_LENGTH: Final = 8


def new_key() -> str:
    return secrets.token_urlsafe(_RANDOM_BYTES)


def is_key(text: str) -> bool:
    """Return whether the text has a key's form; a token has not, because of its dots."""
    return _KEY.fullmatch(text) is not None


def new_code() -> str:
    """Return a claim code: 8 characters that nobody takes for each other, 40 bits."""
    return "".join(secrets.choice(_LETTERS) for _ in range(_CODE_LENGTH))


def code_of(typed: str) -> str | None:
    """Return the claim code that somebody typed, with dash or without, in small letters, O for 0; None if it is
    none."""
    code = re.sub(r"[\s-]", "", typed).upper().translate(_MISREAD)
    return code if len(code) == _CODE_LENGTH and set(code) <= set(_LETTERS) else None


def hash_of(key: str) -> bytes:
    """Return what is stored of a key. A key is random enough that a plain SHA-256 cannot be searched."""
    return sha256(key.encode()).digest()


def bearer(authorization: str | None) -> str | None:
    """Return the credential of an `Authorization: Bearer` header; None where there is none."""
    scheme, _, credential = (authorization or "").partition(" ")
    return credential.strip() or None if scheme.lower() == "bearer" else None
