"""`duckycart cart pair` makes a key for the cart, and makes it known at the server by a claim code.

The key is on disk before it is sent: whatever breaks between, the same command with the same code goes on.
"""

import os
import ssl
from pathlib import Path

import httpx2

from duckycart.cart.address import base_url, believed, caller
from duckycart.cart.journal import replace
from duckycart.cart.setback import refused, sentence_of, unreachable
from duckycart.keys import is_key, new_key
from duckycart.own_address import is_loopback


class NotPaired(Exception):
    """The cart has no new key; the sentence says what to do."""


async def pair(code: str, url: str, file: Path, tls: ssl.SSLContext | None, *, plain: bool) -> int:
    """Give the cart a new key, which is then in `file`, for its owner alone. Returns the cart's number.

    The key that was there stays until the server knows the new one. Raises NotPaired; ValueError for a URL that cannot
    be one.
    """
    base = base_url(url)
    if base.scheme == "http" and not plain and not is_loopback(base.host):
        raise NotPaired(
            f"Without TLS anybody in the network could read the key: give {base.host} TLS, or say --plain where you "
            "trust the network."
        )
    try:
        pending, key = _pending(file)
        cart_id = await _told(base, code, key, tls)
        pending.replace(file)
    except OSError as error:
        raise NotPaired(f"{error.filename or file} cannot be written: {error.strerror}. Is this its owner?") from None
    return cart_id


def _pending(file: Path) -> tuple[Path, str]:
    """Return the file of the key that is to be made known, and that key: the one of a try before, or a new one."""
    pending = file.with_name(f"{file.name}.pending")
    if pending.exists() and is_key(key := pending.read_text(encoding="ascii").strip()):
        return pending, key
    key = new_key()
    replace(pending, f"{key}\n".encode())
    if os.geteuid() == 0:  # the program runs as whoever owns the folder
        owner = pending.parent.stat()
        os.chown(pending, owner.st_uid, owner.st_gid)
    return pending, key


async def _told(base: httpx2.URL, code: str, key: str, tls: ssl.SSLContext | None) -> int:
    async with caller(base, {}, believed(base, tls)) as http:
        try:
            answer = await http.post("/carts/pair", json={"code": code, "key": key})
        except httpx2.HTTPError as error:
            raise NotPaired(f"{unreachable(error).sentence} The same command goes on where this one stopped.") from None
    if answer.status_code == httpx2.codes.OK:
        try:
            return int(answer.json()["cart_id"])
        except (ValueError, LookupError, TypeError):
            raise NotPaired(f"What answers at {base} is no cart server.") from None
    raise NotPaired(sentence_of(answer) or refused(answer.status_code, None).sentence)
