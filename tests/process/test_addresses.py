"""Who is at the other end: the nearest address that no trusted proxy speaks for, in whatever form proxies write it."""

from ipaddress import ip_address, ip_network

import pytest
from structlog.testing import capture_logs

from duckycart import addresses
from duckycart.addresses import Client, client_of, within

PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


def client(peer: str | None, listed: list[str] | None = None, forwarded: list[str] | None = None) -> Client:
    lines = {"X-Forwarded-For": listed or [], "Forwarded": forwarded or []}
    return client_of(peer, lambda name: lines[name], PROXIES)


def known(text: str) -> Client:
    return Client(ip_address(text), text)


@pytest.fixture(autouse=True)
def nothing_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "_logged", set())


@pytest.mark.parametrize(
    ("peer", "listed", "expected"),
    [
        ("203.0.113.7", None, "203.0.113.7"),
        ("203.0.113.7", "192.0.2.1", "203.0.113.7"),  # nobody asked this one to speak for others
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "192.0.2.1", "192.0.2.1"),
        ("10.0.0.1", "192.0.2.1, 10.0.0.2", "192.0.2.1"),
        ("10.0.0.1", "127.0.0.1, 192.0.2.1", "192.0.2.1"),  # what the client itself wrote counts for nothing
        ("10.0.0.1", "not an address, 192.0.2.1", "192.0.2.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("fd00::1", "2001:db8::7", "2001:db8::7"),
        ("::ffff:10.0.0.1", "192.0.2.1", "192.0.2.1"),  # IPv4 as a dual-stack socket shows it
        ("10.0.0.1", "::ffff:192.0.2.1", "192.0.2.1"),
    ],
)
def test_the_client_is_the_nearest_address_that_is_no_trusted_proxy(
    peer: str, listed: str | None, expected: str
) -> None:
    assert client(peer, None if listed is None else [listed]) == known(expected)


@pytest.mark.parametrize("peer", [None, "", "a unix socket"])
def test_who_comes_from_nowhere_is_in_no_network(peer: str | None) -> None:
    assert client(peer, ["192.0.2.1"]) == Client(None, "unknown")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("203.0.113.7:40123", "203.0.113.7"),  # Azure's gateway, IIS, an ALB that keeps the port
        ('"203.0.113.7"', "203.0.113.7"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ('"[2001:db8::1]:41000"', "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("2001:DB8::0001", "2001:db8::1"),
        ("2001:db8:0:0:0:0:0:1:443", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("[fe80::1%25eth0]:80", "fe80::1"),
        ("[::ffff:203.0.113.7]:40123", "203.0.113.7"),
        ("203.0.113.7,", "203.0.113.7"),
        (" ,203.0.113.7 , ,", "203.0.113.7"),
        ("198.51.100.9:1, 203.0.113.7:40123, 10.0.0.2:80", "203.0.113.7"),
        ("198.51.100.9,203.0.113.7:40123,[fd00::2]:80", "203.0.113.7"),
    ],
)
def test_f59_x_forwarded_for_is_read_in_every_form_that_proxies_write(written: str, expected: str) -> None:
    assert client("10.0.0.1", [written]) == known(expected)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"),
        ('for="[2001:db8:cafe::17]:4711"', "2001:db8:cafe::17"),
        ('For="192.0.2.43:47011";Proto=https', "192.0.2.43"),
        ("for=192.0.2.43:47011", "192.0.2.43"),
        ('for="192.0.2.43:_port"', "192.0.2.43"),
        ("by=10.0.0.1;for=192.0.2.43; host=shop", "192.0.2.43"),
        ("for=198.51.100.17, for=192.0.2.43", "192.0.2.43"),
        ('for=192.0.2.43, for="[fd00::2]"', "192.0.2.43"),
        ("for=192.0.2.43,,", "192.0.2.43"),
        ("for=192.0.2.43;;host=x", "192.0.2.43"),
        (r'for="192\.0.2.43"', "192.0.2.43"),
        ('for=10.9.9.9;ext="a, for=10.9.9.8", for=192.0.2.43', "192.0.2.43"),
    ],
)
def test_f59_forwarded_is_read_as_rfc_7239_has_it(written: str, expected: str) -> None:
    assert client("10.0.0.1", None, [written]) == known(expected)
    assert client("203.0.113.7", None, [written]) == known("203.0.113.7")


def test_f59_several_lines_are_one_list() -> None:
    assert client("10.0.0.1", ["198.51.100.1", "192.0.2.1", "10.0.0.3"]) == known("192.0.2.1")
    assert client("10.0.0.1", None, ["for=198.51.100.1", "for=192.0.2.1", "for=10.0.0.3"]) == known("192.0.2.1")


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("unknown", "unknown by 10.0.0.1"),
        ("192.0.2.1, unknown, 10.0.0.2", "unknown by 10.0.0.2"),
        ("not an address", "unknown by 10.0.0.1"),
        ("203.0.113.7:port", "unknown by 10.0.0.1"),
        ("[2001:db8::1", "unknown by 10.0.0.1"),
        ("[2001:db8::1]443", "unknown by 10.0.0.1"),
        ("_hidden", "_hidden of 10.0.0.1"),
        ("_gazonk:_port", "_gazonk of 10.0.0.1"),
    ],
)
def test_f59_whom_a_proxy_hides_is_in_no_network_and_does_not_share_the_limits_of_all(written: str, name: str) -> None:
    assert client("10.0.0.1", [written]) == Client(None, name)


@pytest.mark.parametrize("written", ["for=unknown", "proto=https", 'for="unterminated', "for=192.0.2.1 for=192.0.2.2"])
def test_f59_a_forwarded_that_names_nobody_makes_nobody_up(written: str) -> None:
    assert client("10.0.0.1", None, [written]) == Client(None, "unknown by 10.0.0.1")


@pytest.mark.parametrize(
    "forged", ['for=10.9.9.9;x="', 'for="', "for=10.9.9.9;", 'for=10.9.9.9, x="\\', "for=10.9.9.9"]
)
def test_f59_a_client_that_begins_the_header_itself_can_only_hide(forged: str) -> None:
    """A proxy adds what it knows behind that, on the same line or on one of its own."""
    for lines in ([f"{forged}, for=192.0.2.1"], [forged, "for=192.0.2.1"], [f'{forged}, for="[2001:db8::1]"']):
        found = client("10.0.0.1", None, lines)
        assert found in (known("192.0.2.1"), known("2001:db8::1"), Client(None, "unknown by 10.0.0.1"))


def test_f59_where_the_two_headers_disagree_neither_is_believed() -> None:
    """One of them is what the client sent, passed on by a proxy that writes only the other."""
    nobody = Client(None, "unknown by 10.0.0.1")
    assert client("10.0.0.1", ["192.0.2.1"], ["for=192.0.2.1;proto=https"]) == known("192.0.2.1")
    assert client("10.0.0.1", ["192.0.2.1"], ["for=10.9.9.9"]) == nobody
    assert client("10.0.0.1", ["10.9.9.9"], ["for=192.0.2.1"]) == nobody


def test_f59_what_is_not_understood_is_said_once_and_a_flood_of_forms_is_not_a_flood_of_lines() -> None:
    with capture_logs() as said:
        for _ in range(3):
            client("10.0.0.1", ["not an address"])
        assert [(line["log_level"], line["proxy"], line["form"]) for line in said] == [
            ("warning", "10.0.0.1", "not an address")
        ]
        for number in range(100):
            client("10.0.0.1", [f"rubbish {number}"])
        assert len(said) == 20


def test_f59_a_header_made_to_be_slow_to_read_is_not() -> None:
    """It ends: a pattern that tries every way to split it would not, before the test's patience does."""
    for part in ('for="\\', ";   ", "for=a;  ;", "a=b ", ' ; "', "=,"):
        client("10.0.0.1", [part * 5_000], [part * 5_000 + "!\x00"])


@pytest.mark.parametrize(
    ("address", "same", "other"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:3::1"),
        ("fe80::1%eth0", "fe80::2%eth1", "fe80:0:0:1::1"),
        ("::1", "::2", "::1:0:0:0:1"),
        ("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"),
        ("::ffff:192.0.2.1", "192.0.2.1", "::ffff:192.0.2.2"),
    ],
)
def test_f57_an_ipv6_host_is_counted_by_its_64(address: str, same: str, other: str) -> None:
    assert client(address).bucket == client(same).bucket
    assert client("10.0.0.1", [address]).bucket == client("10.0.0.1", None, [f'for="[{same}]"']).bucket
    assert client(address).bucket != client(other).bucket


def test_f57_the_log_names_the_address_itself() -> None:
    assert client("2001:db8:1:2::1").name == "2001:db8:1:2::1"


def test_nobody_is_within_no_network() -> None:
    assert not within(ip_address("127.0.0.1"), ())
    assert not within(None, (ip_network("0.0.0.0/0"),))
    assert not within(ip_address("::1"), (ip_network("127.0.0.0/8"),))
