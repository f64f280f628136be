"""A cart that comes back owns itself, and is brought to the present."""

import pytest

from duckycart.hardware import socket as hardware_socket
from duckycart.hardware.socket import HardwareSocket
from duckycart.testing.waiting import until
from tests.hardware.helpers import GENERATE_QR, end_by_force, heard, raw, said
from tests.world import Shop


async def test_f01_the_newcomer_owns_the_cart_at_once_and_the_old_link_is_closed(shop: Shop) -> None:
    old = await raw(shop, answers=False)
    new = await raw(shop)
    await until(lambda: old.closed)
    assert old.closed == (4409, "a newer connection of this cart took over")
    await shop.qr()
    await heard(new, GENERATE_QR)
    assert old.texts == []


async def test_f02_a_late_close_of_the_old_changes_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    old = await raw(shop, answers=False)
    before = shop.inside.dispatch.links.current(1)
    assert isinstance(before, HardwareSocket)
    new = await raw(shop)
    old.cut()
    await until(lambda: before._transport is None)
    await until(lambda: not shop.inside.dispatch.background)
    assert (await shop.cart_row()).link_node == shop.inside.dispatch.node
    assert len(shop.inside.dispatch.links) == 1
    await shop.qr()
    await heard(new, GENERATE_QR)


async def test_f04_a_command_for_an_offline_cart_waits_for_it(shop: Shop) -> None:
    cart = await raw(shop)
    cart.cut()
    await shop.offline()
    await shop.qr()
    await heard(await raw(shop), GENERATE_QR)
    assert await shop.settled() == ["received"]


async def test_f05_a_dead_cart_is_closed_with_4408_and_nothing_was_sent_twice(shop: Shop) -> None:
    cart = await raw(shop, answers=False)
    await shop.qr()
    await heard(cart, GENERATE_QR)
    for _ in range(19):
        shop.clock.move(1)
        shop.tick()
        await shop.sweep()
    assert len(shop.inside.dispatch.links) == 1
    assert cart.texts == [GENERATE_QR]
    for _ in range(3):
        shop.clock.move(1)
        shop.tick()
    await until(lambda: cart.closed)
    assert cart.closed == (4408, "no pong")
    await heard(await raw(shop), GENERATE_QR)


async def test_f27_a_cart_that_blocks_for_10_s_stays_connected(shop: Shop) -> None:
    cart = await raw(shop, answers=False)
    await shop.qr()
    await heard(cart, GENERATE_QR)
    for _ in range(10):
        shop.clock.move(1)
        shop.tick()
    cart.pong(b"1")
    assert await shop.settled() == ["received"]
    assert cart.closed is None


async def test_heartbeats_come_after_every_15_s_of_silence(shop: Shop) -> None:
    cart = await raw(shop)
    for number in range(1, 4):
        for _ in range(16):
            shop.clock.move(1)
            shop.tick()
        await until(lambda number=number: len(cart.pings) == number)  # type: ignore[misc]
        await until(lambda: not shop.inside.dispatch.links.current(1).link._pinged)  # type: ignore[union-attr]
    assert cart.pings == [b"0"] * 3


async def test_f07_the_backlog_comes_in_order_and_before_what_is_new(shop: Shop) -> None:
    shopper = await shop.shopper()
    await raw(shop)
    session_id = await shop.start(shopper)
    await shop.settled()
    cart = await raw(shop)
    cart.cut()
    await shop.offline()
    await end_by_force(shop, session_id)
    await shop.qr()
    back = await raw(shop)
    await heard(back, said("end_session", session_id), GENERATE_QR)
    again = await shop.start(shopper)
    await heard(back, said("end_session", session_id), GENERATE_QR, GENERATE_QR, said("session_started", again))


async def test_f29_what_catch_up_skipped_is_superseded_and_never_received(shop: Shop) -> None:
    cart = await raw(shop)
    cart.cut()
    await shop.offline()
    await shop.qr()
    await shop.qr()
    await heard(await raw(shop), GENERATE_QR)
    assert await shop.settled() == ["superseded", "received"]


async def test_f31_an_end_is_sent_when_the_start_may_have_been_heard(shop: Shop) -> None:
    cart = await raw(shop, answers=False)
    session_id = await shop.start(await shop.shopper())
    await heard(cart, GENERATE_QR, said("session_started", session_id))
    cart.cut()
    await shop.offline()
    await end_by_force(shop, session_id)
    await heard(await raw(shop), said("end_session", session_id))
    assert await shop.settled() == ["superseded", "superseded", "received"]


async def test_a_session_the_cart_cannot_have_heard_of_is_not_ended_on_it(shop: Shop) -> None:
    cart = await raw(shop)
    cart.cut()
    await shop.offline()
    session_id = await shop.start(await shop.shopper())
    await end_by_force(shop, session_id)
    await heard(await raw(shop))
    assert await shop.states() == ["superseded"] * 3


async def test_f32_a_cart_that_lost_its_memory_hears_of_its_session_however_often_the_link_breaks(
    shop: Shop,
) -> None:
    await raw(shop, boot="one")
    session_id = await shop.start(await shop.shopper())
    assert await shop.settled() == ["received", "received"]
    for _ in range(2):
        cart = await raw(shop, answers=False, boot="two")
        await heard(cart, said("session_started", session_id))
        cart.cut()
        await shop.offline()
    await heard(await raw(shop, boot="two"), said("session_started", session_id))
    assert (await shop.settled())[1] == "received"
    await heard(await raw(shop, boot="two"))


async def test_f32_a_rebooted_cart_shows_its_qr_again(shop: Shop) -> None:
    await raw(shop, boot="one")
    await shop.qr()
    assert await shop.settled() == ["received"]
    await heard(await raw(shop, boot="two"), GENERATE_QR)


async def test_the_same_boot_hears_nothing_again(shop: Shop) -> None:
    await raw(shop, boot="one")
    await shop.start(await shop.shopper())
    await shop.settled()
    await heard(await raw(shop, boot="one"))
    await heard(await raw(shop))


async def test_1012_when_the_server_stops(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware_socket, "CLOSE_SECONDS", 0.2)
    cart = await raw(shop)
    shop.server.should_exit = True
    await until(lambda: cart.closed)
    assert cart.closed is not None
    assert cart.closed[0] == 1012
