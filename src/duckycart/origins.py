"""This module decides which web pages may use what needs no credential here.

A browser lets every page that it shows open a socket to us and send us requests. What lets those in without a key (a
network of keyless carts or of legacy screens, a screen's cookie) is the browser's own place, not the page's, so there
the page must be ours. A key or token that a caller sends is proof of its own, whatever page sends it.
"""

import re
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from duckycart.addresses import parse, within
from duckycart.errors import Forbidden, Refusal
from duckycart.handshake import Header
from duckycart.refusals import FOREIGN_HOST, FOREIGN_ORIGIN
from duckycart.settings import Settings

_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}
# Names that nobody outside can point at this machine (RFC 6761, RFC 6762, RFC 8375, and the root zone's reserve).
_LOCAL: Final = re.compile(r"(localhost|[^.]+|.+\.(localhost|local|lan|internal|home\.arpa|test))\.?", re.IGNORECASE)
_OTHER_SITES: Final = (
    "cross-site",
    "same-site",
)  # Sec-Fetch-Site: another port or name of this machine is another page
_ANY: Final = "*"

Place = tuple[str, int | None]  # host in lower case, port; None where it is not said


def refusal(
    settings: Settings, header: Header, *, socket: bool, peer: str | None, tls: bool
) -> Refusal[Forbidden] | None:
    """Return why a caller that shows no credential is not let in; None if it may be.

    Browsers send `Origin` with every socket, and with all but the plainest requests; for those there is
    `Sec-Fetch-Site`, where a browser sends it: over plain HTTP only to its own machine.
    """
    listed = {origin.rstrip("/").lower() for origin in settings.cors_origins}
    if _ANY in listed:
        return None
    own = _place(settings.url)
    names = {place[0] for place in (own, (settings.host.lower(), None), *map(_place, listed)) if place is not None}
    proxied = within(parse(peer), settings.trusted_proxies)
    forwarded = _places(header("X-Forwarded-Host")) if proxied else []
    asked = _places(header("Host"))
    # Whoever owns a name can point it at us, and so have a page of "our" origin; but not with our certificate.
    known = tls or all(place is not None and _is_ours(place[0], names) for place in forwarded or asked)
    page = _page(header)
    if page is None:
        return None if socket or known else FOREIGN_HOST
    if page in listed or _is_no_browser(page, header):
        return None
    place = _place(page)
    if place is not None and page.count("/") == 2:
        if place == own:
            return None
        if any(_same(place, name, proxied) for name in forwarded + asked):
            return None if known else FOREIGN_HOST
    return FOREIGN_ORIGIN


def _places(lines: list[str]) -> list[Place | None]:
    """Return by what names the caller calls us."""
    return [_place(f"//{name.strip()}") for line in lines for name in line.split(",")]


def _is_ours(host: str, names: set[str]) -> bool:
    return host in names or _is_local(host)


def _page(header: Header) -> str | None:
    """Return the origin of the page that asks; "" for one that does not say which, None where no page is known of."""
    if origins := header("Origin"):
        return ",".join(origins).strip().rstrip("/").lower()
    if not any(site.strip().lower() in _OTHER_SITES for site in header("Sec-Fetch-Site")):
        return None
    try:
        referrer = urlsplit(",".join(header("Referer")))
    except ValueError:
        return ""
    return f"{referrer.scheme}://{referrer.netloc}".lower() if referrer.netloc else ""


def _is_no_browser(origin: str, header: Header) -> bool:
    """Return whether the library of many a small cart (arduinoWebSockets) asks, by the origin that it sends. Browsers
    send the same for a file that was downloaded, and name themselves."""
    return origin == "file:" and not any(agent.startswith("Mozilla/") for agent in header("User-Agent"))


def _same(page: Place, place: Place | None, proxied: bool) -> bool:
    """Return whether a page of this place is ours if we were asked by that one. Proxies often leave the port out."""
    if place is None or page[0] != place[0]:
        return False
    return page[1] == place[1] if place[1] is not None else proxied or page[1] in _PORTS.values()


def _place(url: str) -> Place | None:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    return None if not host else (host, port or _PORTS.get(parts.scheme))


def _is_local(host: str) -> bool:
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return _LOCAL.fullmatch(host) is not None
    return True
