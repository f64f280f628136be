"""Where the server listens, and what it says of that (F63)."""

import socket

import pytest

from duckycart import server
from duckycart.testing.waiting import until
from tests.process.world import Served

IPV6 = socket.has_ipv6 and socket.has_dualstack_ipv6()


def reaches(family: socket.AddressFamily, address: str, port: int) -> bool:
    with socket.socket(family) as probe:
        return probe.connect_ex((address, port)) == 0


def listening(host: str) -> list[socket.socket]:
    return server._listen(host, 0)


@pytest.mark.skipif(not IPV6, reason="--host :: was NOT tested: this machine has no IPv6")
def test_f63_all_addresses_of_ipv6_are_those_of_ipv4_too() -> None:
    (both,) = listening("::")
    port = both.getsockname()[1]
    assert reaches(socket.AF_INET6, "::1", port)
    assert reaches(socket.AF_INET, "127.0.0.1", port)
    assert server.where(both) == f"[::]:{port} (and IPv4)"
    both.close()


@pytest.mark.skipif(not IPV6, reason="an address of IPv6 was NOT tested: this machine has no IPv6")
def test_f63_one_address_of_ipv6_is_that_one() -> None:
    (one,) = listening("::1")
    port = one.getsockname()[1]
    assert not reaches(socket.AF_INET, "127.0.0.1", port)
    assert server.where(one) == f"[::1]:{port}"
    one.close()


def test_f63_all_addresses_of_ipv4_are_of_ipv4() -> None:
    (one,) = listening("0.0.0.0")
    port = one.getsockname()[1]
    assert reaches(socket.AF_INET, "127.0.0.1", port)
    assert server.where(one) == f"0.0.0.0:{port}"
    one.close()


def resolve(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[socket.AddressFamily, str]) -> None:
    def found(host: str, port: int, **_: object) -> list[object]:
        return [(family, socket.SOCK_STREAM, 6, "", (address, port)) for family, address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", found)


def test_f63_a_name_of_several_addresses_is_listened_to_on_all_with_one_port(monkeypatch: pytest.MonkeyPatch) -> None:
    inet = socket.AF_INET
    resolve(monkeypatch, (inet, "127.0.0.1"), (inet, "127.0.0.2"), (inet, "127.0.0.1"))
    one, other = listening("localhost")
    assert one.getsockname()[1] == other.getsockname()[1]
    for it in (one, other):
        it.close()


def test_f63_an_address_that_this_machine_does_not_have_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve(monkeypatch, (socket.AF_INET, "203.0.113.1"), (socket.AF_INET, "127.0.0.1"))
    (one,) = listening("localhost")
    assert one.getsockname()[0] == "127.0.0.1"
    one.close()
    resolve(monkeypatch, (socket.AF_INET, "203.0.113.1"))
    with pytest.raises(server.CannotListen, match="Cannot listen on localhost, port 0: "):
        listening("localhost")


def test_f63_a_port_that_is_taken_on_one_of_them_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.2", 0)) as taken:
        resolve(monkeypatch, (socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "127.0.0.2"))
        with pytest.raises(server.CannotListen, match="Address already in use"):
            server._listen("localhost", taken.getsockname()[1])


async def test_f63_the_log_says_where(served: Served) -> None:
    await served.start("--host", "")
    said = await until(lambda: [line for line in served.lines() if line["event"] == "listening"])
    assert said[0]["addresses"] == [f"127.0.0.1:{served.port}"]
