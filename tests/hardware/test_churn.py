"""Whatever comes and goes, nothing of it stays (F06)."""

import asyncio
import gc
from collections import Counter
from collections.abc import Iterator

import pytest
from websockets.protocol import Protocol

from duckycart.hardware import socket
from duckycart.hardware.link import Link
from duckycart.hardware.socket import HardwareSocket
from duckycart.store import queue
from duckycart.testing.waiting import until
from tests.hardware.helpers import cut_all, raw, refused
from tests.world import Shop

KINDS = (HardwareSocket, Link, Protocol)


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    """What survives without the collector is in no cycle."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def alive() -> Counter[str]:
    return Counter(type(thing).__name__ for thing in gc.get_objects() if type(thing) in KINDS)


def sockets(shop: Shop) -> list[object]:
    """The carts' sockets that uvicorn would wait for."""
    return [known for known in shop.server.server_state.connections if isinstance(known, HardwareSocket)]


async def all_gone(shop: Shop) -> None:
    dispatch, connector = shop.inside.dispatch, shop.inside.connector
    await until(lambda: not sockets(shop) and not dispatch.background and not connector.handshaking)
    await shop.inside.dispatch.receipts.finish()
    assert len(connector.links) == 0
    assert connector.links.watched == 0
    assert connector.links.claiming_count == 0
    assert not dispatch._waiters
    assert not connector._probes
    assert len(connector.claims) == 0
    assert len(connector.turnstile) == 0
    assert not dispatch.receipts._pending
    assert not dispatch.receipts._writes
    shop.clock.move(11)
    shop.tick()
    assert not connector.brake._accepted
    assert not connector.links._buckets
    for _ in range(2):
        await shop.inside.store.write(lambda tx: None)  # or the writer thread still has its last job in its hands
    assert not alive()


async def test_f06_after_hundreds_of_connects_nothing_is_left(shop: Shop) -> None:
    for cart_id in range(2, 12):
        await shop.add_cart(cart_id)
    tasks = len(asyncio.all_tasks())
    for _ in range(20):
        for cart_id in range(2, 12):
            await raw(shop, cart_id)
        await cut_all(shop)
        shop.clock.move(3)
        shop.tick()
    await all_gone(shop)
    await until(lambda: len(asyncio.all_tasks()) <= tasks)
    for cart_id in range(2, 12):
        assert (await shop.cart_row(cart_id)).link_node is None


async def test_f06_a_cart_with_commands_leaves_nothing(shop: Shop) -> None:
    await raw(shop)
    await shop.start(await shop.shopper())
    await shop.settled()
    await raw(shop)
    await cut_all(shop)
    await all_gone(shop)


async def test_f06_a_tidy_end_leaves_nothing(shop: Shop) -> None:
    async with shop.cart():
        await shop.online()
    await all_gone(shop)


async def test_f06_refused_carts_leave_nothing(shop: Shop) -> None:
    for _ in range(20):
        await refused(shop, headers={})
        await refused(shop, headers={"X-API-Key": "wrong"})
        await refused(shop, "/ws/hardware/one")
    await all_gone(shop)


async def test_f06_claims_the_database_does_not_take_leave_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "WAITING", 0)
    for _ in range(3):
        assert await refused(shop) == (503, "2")
    monkeypatch.undo()
    await all_gone(shop)


async def test_f06_dead_carts_leave_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "CLOSE_SECONDS", 0.05)
    await raw(shop, answers=False)
    await shop.qr()
    for _ in range(25):
        shop.clock.move(1)
        shop.tick()
    await until(lambda: not shop.inside.dispatch.links)
    await all_gone(shop)
