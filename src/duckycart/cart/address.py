"""A cart's server as it is addressed: its URL, what is believed of it, and a client for calls."""

import ssl
from collections.abc import Mapping
from typing import Final

import httpx2

ANSWER_SECONDS: Final = 10  # that the server has for a handshake or a call
_SECURE: Final = {"http": False, "ws": False, "https": True, "wss": True}


def base_url(url: str) -> httpx2.URL:
    """Return a server's base URL with http or https, from the form in which people write it, ws and wss among them.

    Raises ValueError with a sentence for people.
    """
    try:
        base = httpx2.URL(url)
        base.host.encode("idna")  # what a look-up of the name would stumble over
    except (httpx2.InvalidURL, UnicodeError) as error:
        raise ValueError(f"the URL cannot be read: {error}") from None
    if base.scheme not in _SECURE or not base.host or (base.port or 0) > 65535:
        raise ValueError("the URL must look like http://host:8000 or https://host (ws and wss will do)")
    if base.userinfo or base.query or base.fragment:
        raise ValueError("the URL must not hold a user name, a query or a fragment")
    return base.copy_with(scheme="https" if _SECURE[base.scheme] else "http", path=base.path.rstrip("/"))


def believed(base: httpx2.URL, tls: ssl.SSLContext | None) -> ssl.SSLContext | None:
    """Return what judges the server's certificate: `tls`, or whatever the machine trusts (SSL_CERT_FILE); None without
    TLS."""
    return (tls or ssl.create_default_context()) if base.scheme == "https" else None


def caller(base: httpx2.URL, headers: Mapping[str, str], tls: ssl.SSLContext | None) -> httpx2.AsyncClient:
    """Return a client for calls with these headers; `tls` is what is `believed`. It goes through no proxy, as the
    socket."""
    return httpx2.AsyncClient(
        base_url=base,
        headers={"Accept": "application/json", **headers},
        verify=tls or True,
        timeout=ANSWER_SECONDS,
        trust_env=False,
    )
