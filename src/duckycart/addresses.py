"""This module tells who is at the other end of a connection, when proxies may stand between.

Every proxy that is trusted says whom it speaks for, in X-Forwarded-For or in Forwarded (RFC 7239), and each writes that
in a form of its own: with a port, in brackets, quoted, on a line of its own, or a word instead of an address.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

import structlog

from duckycart.handshake import Header
from duckycart.settings import Network

log = structlog.get_logger()

Address = IPv4Address | IPv6Address

_PORT: Final = re.compile(r":(?:[0-9]{1,5}|_[A-Za-z0-9._-]+)")
_HIDDEN: Final = re.compile(r"_[A-Za-z0-9._-]{1,60}")  # RFC 7239, 6.3: a name that a proxy gave to somebody
# One element of Forwarded (RFC 7239, 4), and what ends it. Proxies leave out the quotes where the RFC wants them.
_VALUE: Final = r'(?:"(?:[^"\\]|\\.)*"|[^\s",;]+)'
_PAIR: Final = rf"[\w!#$%&'*+.^`|~-]+={_VALUE}"
_ELEMENT: Final = re.compile(rf"[ \t]*((?:{_PAIR}[ \t]*)?(?:;[ \t]*(?:{_PAIR}[ \t]*)?)*)(?:,|$)")
_FOR: Final = re.compile(rf"(?:^|;)[ \t]*for=({_VALUE})", re.IGNORECASE)
_LOGGED_AT_MOST: Final = 20  # forms that are not understood; a line for each of a flood of them helps nobody
_logged: set[str] = set()


@dataclass(frozen=True, slots=True)
class Client:
    """Whoever sent a request."""

    address: Address | None  # None where it is not known; then it is in no network
    name: str  # for the log: the address, or what can be said instead of one

    @property
    def bucket(self) -> str:
        """The name under which the client is counted: clients with the same one share its limits."""
        return self.name if self.address is None else bucket(self.address)


def bucket(address: Address) -> str:
    """Return what limits count as one client: an IPv4 address, or the /64 of an IPv6 address. A host has its whole /64
    to itself and may call from 2^64 addresses (RFC 4291, 2.5.1; RFC 8981)."""
    return str(address) if isinstance(address, IPv4Address) else str(IPv6Network((address, 64), strict=False))


def client_of(peer: str | None, header: Header, trusted: Iterable[Network]) -> Client:
    """Return the nearest address that is not a trusted proxy's.

    What proxies wrote is believed only as far as trusted ones wrote it: read from the right, each hop must be in
    `trusted` for the one before it to count. Whoever a trusted proxy hides (`unknown`, `_name`), or names in a form
    that is not understood, is in no network and has its limits from what is known: the hidden name, else the proxy. So
    is whoever X-Forwarded-For and Forwarded disagree about: one of the two may be the client's own.
    """
    trusted = tuple(trusted)
    address = parse(peer)
    if address is None:
        return Client(None, "unknown")
    if not within(address, trusted):
        return Client(address, str(address))
    listed, forwarded = header("X-Forwarded-For"), header("Forwarded")
    client = _nearest(address, [hop for line in listed for hop in line.split(",")], trusted)
    if not forwarded:
        return client
    other = _nearest(address, [hop for line in forwarded for hop in _hops(line)], trusted)
    if not listed or client == other:
        return other
    _log_once(
        "Forwarded and X-Forwarded-For disagree; let the proxy remove the one that it does not write", address, "both"
    )
    return Client(None, f"unknown by {address}")


def within(address: Address | None, networks: Iterable[Network]) -> bool:
    return address is not None and any(address in network for network in networks)


def parse(text: str | None) -> Address | None:
    """Read an address in any form that proxies write: `192.0.2.1`, `192.0.2.1:40123`, `2001:db8::1`,
    `[2001:db8::1]:443`, with a zone, in quotes. None for what is none."""
    text = (text or "").strip().strip('"')
    if text.startswith("["):
        text, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not _PORT.fullmatch(rest)):
            return None
    address = _address(text)
    if address is None and (port := _PORT.search(text, text.rfind(":"))) and port.end() == len(text):
        address = _address(text[: port.start()])
    return address


def _address(text: str) -> Address | None:
    try:
        address = ip_address(text.partition("%")[0])  # a zone says which of our own interfaces, nothing of the client
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _nearest(address: Address, hops: list[str], trusted: tuple[Network, ...]) -> Client:
    hops = [hop for hop in map(str.strip, hops) if hop]  # empty ones say nothing (RFC 9110, 5.6.1.2)
    while hops and within(address, trusted):
        hop = hops.pop()
        before = parse(hop)
        if before is None:
            hidden = hop.strip('"').partition(":")[0]
            if _HIDDEN.fullmatch(hidden):
                return Client(None, f"{hidden} of {address}")
            _log_once("a trusted proxy names no address that can be read; such clients share one limit", address, hop)
            return Client(None, f"unknown by {address}")
        address = before
    return Client(address, str(address))


def _hops(line: str) -> Iterator[str]:
    """Yield the `for` of each element; `unknown` for one without, and for a whole line that is not well-formed."""
    hops: list[str] = []
    position = 0
    while position < len(line):
        element = _ELEMENT.match(line, position)
        if element is None:
            yield "unknown"
            return
        position = element.end()
        if element[1]:
            match = _FOR.search(element[1])
            hops.append("unknown" if match is None else re.sub(r"\\(.)", r"\1", match[1]))
    yield from hops


def _log_once(event: str, proxy: Address, form: str) -> None:
    """Write a warning to the log, once for each proxy and form."""
    if len(_logged) < _LOGGED_AT_MOST and (key := f"{proxy} {form[:60]}") not in _logged:
        _logged.add(key)
        log.warning(event, proxy=str(proxy), form=form[:60])
