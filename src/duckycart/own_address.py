"""This module finds the address at which other devices of the network reach this machine."""

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
    return None if ip_address(address).is_loopback or ip_address(address).is_unspecified else address
