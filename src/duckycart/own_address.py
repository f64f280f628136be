"""This module tells this machine's own addresses: the one that other devices reach, how a URL has it, and those that
only this machine reaches."""

import socket
from ipaddress import ip_address
from typing import Final

_ELSEWHERE: Final = ("192.0.2.1", 9)  # for documentation (RFC 5737): nobody's; connecting UDP sends nothing


def own_address() -> str | None:
    """Return the machine's IPv4 address on the way to other networks; None where it has no network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect(_ELSEWHERE)
        except OSError:
            return None
        address = str(asking.getsockname()[0])
    return None if is_loopback(address) or ip_address(address).is_unspecified else address


def in_url(host: str) -> str:
    """Return a host as a URL has it: an IPv6 address in brackets (RFC 3986, section 3.2.2)."""
    return f"[{host}]" if ":" in host else host


def is_loopback(host: str) -> bool:
    """Return whether nobody but this machine reaches that host: an address, or `localhost`."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
