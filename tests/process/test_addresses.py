"""Who is at the other end: the nearest address that no trusted proxy speaks for."""

from ipaddress import ip_address, ip_network

import pytest

from duckycart.addresses import client_address, within

PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.7", None, "203.0.113.7"),
        ("203.0.113.7", "192.0.2.1", "203.0.113.7"),  # nobody asked this one to speak for others
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "192.0.2.1", "192.0.2.1"),
        ("10.0.0.1", "192.0.2.1, 10.0.0.2", "192.0.2.1"),
        ("10.0.0.1", "127.0.0.1, 192.0.2.1", "192.0.2.1"),  # what the client itself wrote counts for nothing
        ("10.0.0.1", "192.0.2.1, not an address", None),
        ("10.0.0.1", "", None),
        ("fd00::1", "2001:db8::7", "2001:db8::7"),
        ("::ffff:10.0.0.1", "192.0.2.1", "192.0.2.1"),  # IPv4 as a dual-stack socket shows it
        ("10.0.0.1", "::ffff:192.0.2.1", "192.0.2.1"),
        (None, "192.0.2.1", None),
        ("a unix socket", None, None),
    ],
)
def test_the_client_is_the_nearest_address_that_is_no_trusted_proxy(
    peer: str | None, forwarded: str | None, client: str | None
) -> None:
    assert client_address(peer, forwarded, PROXIES) == (None if client is None else ip_address(client))


def test_nobody_is_within_no_network() -> None:
    assert not within(ip_address("127.0.0.1"), ())
    assert not within(None, (ip_network("0.0.0.0/0"),))
    assert not within(ip_address("::1"), (ip_network("127.0.0.0/8"),))
