"""People type who they are in many ways, and a name has one form here: whatever keyboard, phone or paste wrote it.

After RFC 8265: user names (and e-mail addresses, which are used as such) by UsernameCaseMapped, passwords by
OpaqueString. What surrounds a name is dropped; nothing of a password is but the kind of its spaces.
"""

import unicodedata
from typing import Any, Final

MIN_PASSWORD: Final = 8  # characters: fielded phones sign up with no more
MAX_PASSWORD: Final = 200
MAX_EMAIL: Final = 254  # characters, as no mail server takes longer ones
MAX_FULL_NAME: Final = 120
EMAIL: Final = r"^[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+\.[^@\s\x00-\x1f\x7f]+$"


def account_name(typed: str) -> str:
    """Return an e-mail address or user name as it is kept and looked for: small letters, one form of each character.

    Without the spaces and the invisible characters around it, which come along with a paste.
    """
    name = unicodedata.normalize("NFKC", typed)
    name = unicodedata.normalize("NFKC", name.lower())
    start, end = 0, len(name)
    while start < end and _is_margin(name[start]):
        start += 1
    while start < end and _is_margin(name[end - 1]):
        end -= 1
    return name[start:end]


def password(typed: str) -> str:
    """Return a password as it is kept: composed, and with plain spaces. Nothing is cut off."""
    plain = "".join(" " if unicodedata.category(one) == "Zs" else one for one in typed)
    return unicodedata.normalize("NFC", plain)


def password_forms(typed: str) -> list[str]:
    """Return what may have been kept of a password: as it is kept now, as it was typed, and as other keyboards would
    have typed it.

    Each form comes once; a password of ASCII characters has one.
    """
    forms = password(typed), typed, unicodedata.normalize("NFC", typed), unicodedata.normalize("NFD", typed)
    return list(dict.fromkeys(forms))


def _is_margin(character: str) -> bool:
    return character.isspace() or unicodedata.category(character) == "Cf"


def account_name_of(value: Any) -> Any:
    """Return `account_name` of a text; anything else as it is, for whoever judges it."""
    return account_name(value) if isinstance(value, str) else value


def password_of(value: Any) -> Any:
    """Return `password` of a text; anything else as it is, for whoever judges it."""
    return password(value) if isinstance(value, str) else value
