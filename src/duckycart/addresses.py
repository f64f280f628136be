"""Who is at the other end, when a proxy may stand between."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address

from duckycart.settings import Network

Address = IPv4Address | IPv6Address


def client_address(peer: str | None, forwarded_for: str | None, trusted: Iterable[Network]) -> Address | None:
    """The nearest address that is not a trusted proxy's.

    `forwarded_for` is X-Forwarded-For, believed only as far as trusted proxies wrote it: read from the right, each hop
    must be in `trusted` for the one before it to count. None when the peer has no IP address.
    """
    trusted = tuple(trusted)
    address = _parse(peer)
    hops = [] if forwarded_for is None else forwarded_for.split(",")
    while address is not None and hops and within(address, trusted):
        before = _parse(hops.pop().strip())
        if before is None:
            return None  # the proxy says something that is no address: nobody to be trusted
        address = before
    return address


def within(address: Address | None, networks: Iterable[Network]) -> bool:
    return address is not None and any(address in network for network in networks)


def _parse(text: str | None) -> Address | None:
    try:
        address = ip_address(text or "")
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
