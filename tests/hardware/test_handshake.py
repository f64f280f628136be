"""Who may connect, judged before the upgrade and answered with exactly one status."""

import asyncio

import pytest

from duckycart.hardware import socket
from duckycart.testing.cart import CartConnection
from duckycart.testing.waiting import PATIENCE, until
from tests.conftest import OpenShop
from tests.hardware.helpers import PATH, connect, heard, raw, refused, rotate_key, writer_blocked
from tests.world import Shop

pytestmark = pytest.mark.any_store

KEY = "key-of-cart-1-0123456789abcdef0123"


@pytest.mark.parametrize(
    "path",
    [
        "/ws/hardware",
        "/ws/hardware/",
        "/ws/hardware/0",
        "/ws/hardware/01",
        "/ws/hardware/-1",
        "/ws/hardware/1/",
        "/ws/hardware/1/2",
        "/ws/hardware/one",
        "/ws/hardware/1.0",
        "/ws/hardware/%2531",
        "/ws/hardware/%zz",
        "/ws/hardware/%C3%28",
        "/ws/hardware/1234567890",
        "/ws/hardware/1?" + "&".join(f"a{number}=1" for number in range(11)),
        "/ws/hardware/1?boot=" + "b" * 65,
        "/ws/hardware/1?boot=with%20space",
    ],
)
async def test_400_for_what_names_no_cart(shop: Shop, path: str) -> None:
    assert await refused(shop, path) == (400, None)


@pytest.mark.parametrize("name", ["X-API-Key", "Authorization", "Cart-Boot-Id"])
async def test_400_for_a_header_given_twice(shop: Shop, name: str) -> None:
    assert await refused(shop, headers={name: "one", name.lower(): "two"}) == (400, None)


@pytest.mark.parametrize(
    "headers", [{}, {"X-API-Key": ""}, {"Authorization": "Basic abc"}, {"Authorization": "Bearer"}]
)
async def test_f20_401_without_a_credential(shop: Shop, headers: dict[str, str]) -> None:
    assert await refused(shop, headers=headers) == (401, None)


async def test_f20_403_is_one_answer_for_unknown_disabled_and_wrong(shop: Shop) -> None:
    await shop.add_cart(2)
    await rotate_key(shop, shop.keys[2], 2, disabled=True)
    answers = set()
    for path, key in (("/ws/hardware/99", KEY), ("/ws/hardware/2", shop.keys[2]), (PATH, "wrong"), (PATH, "cl\xe9")):
        cart = await connect(shop, path, {"X-API-Key": key})
        assert cart.response is not None
        answers.add((cart.response.status_code, bytes(cart.response.body or b"")))
    assert answers == {(403, b"Unknown or disabled cart, or wrong key.\n")}
    assert len(shop.inside.dispatch.links) == 0


async def test_a_refusal_leaves_the_incumbent_alone(shop: Shop) -> None:
    incumbent = await raw(shop)
    assert await refused(shop, headers={"X-API-Key": "wrong"}) == (403, None)
    await shop.qr()
    await until(lambda: incumbent.texts)
    assert incumbent.closed is None


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (PATH, {"X-API-Key": KEY}),
        (PATH, {"Authorization": f"Bearer {KEY}"}),
        (PATH, {"Authorization": f"bearer {KEY}"}),
        (f"{PATH}?key={KEY}", {}),
        (f"{PATH}?boot=b1&key={KEY}", {}),
    ],
)
async def test_the_key_comes_in_a_header_or_in_the_url(shop: Shop, path: str, headers: dict[str, str]) -> None:
    cart = await connect(shop, path, headers)
    assert cart.status == 101
    await shop.online()


async def test_f22_no_key_in_the_log(shop: Shop, capfd: pytest.CaptureFixture[str]) -> None:
    await connect(shop, f"{PATH}?key={KEY}", {})
    await refused(shop, f"{PATH}/?key={KEY}", {})
    await refused(shop, f"{PATH}?key={KEY}x", {})
    logged = "".join(capfd.readouterr())
    assert "cart refused" in logged
    assert KEY not in logged


async def test_carts_of_keyless_networks_need_no_key_but_a_wrong_one_is_wrong(opening: OpenShop) -> None:
    async with opening(keyless_carts="127.0.0.0/8") as shop:
        await shop.add_cart(1)
        cart = await connect(shop, headers={})
        assert cart.status == 101
        assert await refused(shop, headers={"X-API-Key": "wrong"}) == (403, None)
        assert await refused(shop, "/ws/hardware/2", {}) == (403, None)


async def test_behind_a_trusted_proxy_the_cart_s_own_address_counts(opening: OpenShop) -> None:
    async with opening(keyless_carts="10.0.0.0/8", trusted_proxies="127.0.0.1/32") as shop:
        await shop.add_cart(1)
        assert await refused(shop, headers={}) == (401, None)
        assert await refused(shop, headers={"X-Forwarded-For": "10.0.0.7, 192.0.2.1"}) == (401, None)
        cart = await connect(shop, PATH, {"X-Forwarded-For": "192.0.2.1, 10.0.0.7"})
        assert cart.status == 101


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "10.0.0.7:40123"},
        {"X-Forwarded-For": "[::ffff:10.0.0.7]:40123"},
        {"Forwarded": 'for="10.0.0.7:40123";proto=http'},
    ],
)
async def test_f59_a_keyless_cart_is_known_in_whatever_form_the_proxy_writes(
    opening: OpenShop, headers: dict[str, str]
) -> None:
    async with opening(keyless_carts="10.0.0.0/8", trusted_proxies="127.0.0.1/32") as shop:
        await shop.add_cart(1)
        cart = await connect(shop, PATH, headers)
        assert cart.status == 101
        assert await refused(shop, headers={**headers, "Forwarded": "for=192.0.2.1"}) == (401, None)


@pytest.mark.parametrize(("path", "headers"), [(PATH, {"Cart-Boot-Id": "b1"}), (f"{PATH}?boot=b1", {})])
async def test_a_cart_says_of_its_boot_in_a_header_or_in_the_url(
    shop: Shop, path: str, headers: dict[str, str]
) -> None:
    await connect(shop, path, {**shop.cart_headers(), **headers})
    await shop.online()
    row = await shop.cart_row()
    assert (row.boot_id, row.boot_generation) == ("b1", 1)


async def test_503_while_the_server_drains(shop: Shop) -> None:
    shop.inside.connector.draining = True
    assert await refused(shop) == (503, "2")


async def test_503_for_more_handshakes_at_once_than_there_are_places(opening: OpenShop) -> None:
    async with opening(handshakes=1) as shop:
        await shop.add_cart(1)
        await shop.add_cart(2)
        with writer_blocked(shop):
            first = asyncio.create_task(raw(shop))
            await until(lambda: shop.inside.dispatch.links.claiming_count)
            assert await refused(shop, "/ws/hardware/2", shop.cart_headers(2)) == (503, "2")
        await first
        await raw(shop, 2)


async def test_503_when_the_database_takes_too_long_and_the_late_claim_is_dropped(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("duckycart.hardware.connect.CLAIM_SECONDS", 0.01)
    with writer_blocked(shop):
        assert await refused(shop) == (503, "2")
    await until(lambda: not shop.inside.dispatch.background)
    row = await shop.cart_row()
    assert (row.link_epoch, row.link_node) == (0, None)
    assert not shop.inside.dispatch.links


async def test_an_error_of_ours_ends_the_handshake(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("duckycart.hardware.connect.claim_many", broken)
    cart = await connect(shop)
    await cart.gone()
    monkeypatch.undo()
    await heard(await raw(shop))


# The brake


async def connect_often(shop: Shop, times: int = 5) -> CartConnection:
    for _ in range(times):
        cart = await raw(shop)
    return cart


async def test_f08_the_sixth_connect_in_10_s_is_refused_while_the_incumbent_lives(shop: Shop) -> None:
    incumbent = await connect_often(shop)
    shop.clock.move(4)
    assert await refused(shop) == (429, "6")
    assert incumbent.closed is None
    assert (await shop.cart_row()).link_epoch == 5
    shop.clock.move(6)
    await raw(shop)


async def test_f08_and_while_nobody_is_connected(shop: Shop) -> None:
    cart = await connect_often(shop)
    cart.cut()
    await shop.offline()
    assert await refused(shop) == (429, "10")


async def test_f01_past_the_brake_a_newcomer_still_wins_over_a_dead_incumbent(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("duckycart.hardware.connect.PROBE_SECONDS", 0.05)
    incumbent = await connect_often(shop)
    incumbent.answer_pings = False
    newcomer = await raw(shop)
    await until(lambda: incumbent.closed)
    assert incumbent.closed == (4409, "a newer connection of this cart took over")
    assert newcomer.closed is None


async def test_the_brake_is_each_cart_s_own(shop: Shop) -> None:
    await shop.add_cart(2)
    await connect_often(shop)
    await raw(shop, 2)


async def test_one_ping_serves_all_newcomers_who_ask_at_once(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("duckycart.hardware.connect.PROBE_SECONDS", 5.0)
    incumbent = await connect_often(shop)
    incumbent.answer_pings = False
    newcomers = [asyncio.create_task(refused(shop)) for _ in range(5)]
    await until(lambda: shop.inside.connector.handshaking == 5)
    await until(lambda: incumbent.pings)
    incumbent.pong(incumbent.pings[0])
    assert await asyncio.gather(*newcomers) == [(429, "10")] * 5
    assert len(incumbent.pings) == 1


async def test_f01_who_asks_in_the_moment_of_an_answer_asks_anew(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pong was read, the first who asked has not heard of it yet: it will answer nobody else."""
    monkeypatch.setattr("duckycart.hardware.connect.PROBE_SECONDS", PATIENCE)
    cart = await raw(shop, answers=False)
    connector = shop.inside.connector
    incumbent = connector.links.current(1)
    assert incumbent is not None
    first = asyncio.create_task(connector._answers(incumbent))
    await until(lambda: len(cart.pings) == 1)
    second = asyncio.create_task(connector._answers(incumbent))
    connector.answered(incumbent.link)
    assert await first
    await until(lambda: len(cart.pings) == 2)
    cart.pong(cart.pings[1])
    assert await second
    assert not connector._probes


async def test_an_error_of_ours_in_a_handshake_ends_it_and_the_cart_comes_back(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Else the cart would be held by a connection that hears nothing."""

    def fails(*_: object) -> bytes:
        raise RuntimeError("an error of ours")

    with monkeypatch.context() as patch:
        patch.setattr(socket, "accepted", fails)
        assert (await connect(shop)).response is None
    await until(lambda: len(shop.inside.dispatch.links) == 0)
    assert "an error of ours" in "".join(capfd.readouterr())
    await raw(shop)
    await shop.online()


async def test_names_of_the_answer_s_headers_are_written_as_everybody_writes_them(shop: Shop) -> None:
    """Case means nothing (RFC 9110, 5.1), but libraries of small carts compare letters."""
    reader, writer = await asyncio.open_connection("127.0.0.1", shop.port)
    lines = [
        f"GET {PATH} HTTP/1.1",
        "Host: shop",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        f"X-API-Key: {KEY}",
    ]
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    writer.close()
    assert head[0] == "HTTP/1.1 101 Switching Protocols"
    assert head[1].startswith("Date: ")
    assert head[2:] == [
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",  # RFC 6455, 1.3
        "",
        "",
    ]
