"""Hundreds of carts that come, or go, in the same moment."""

import asyncio
import sqlite3
from typing import Any

import pytest
from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import OperationalError

from duckycart.hardware import ownership
from duckycart.store.tables import carts, commands, sessions
from duckycart.store.transaction import Transaction
from duckycart.testing.cart import CartConnection
from duckycart.testing.furnish import add_carts
from duckycart.testing.waiting import PATIENCE, until
from tests.hardware.helpers import GENERATE_QR, connect, handed_over, heard, raw, refused, writer_blocked
from tests.world import Shop, open_shop

COUNT = 120
CARTS = range(2, COUNT + 2)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow this machine is, nobody is refused for that."""
    monkeypatch.setattr("duckycart.hardware.connect.CLAIM_SECONDS", PATIENCE)


async def furnish(shop: Shop, ids: range = CARTS) -> None:
    """Carts that each have a QR to show."""

    def add(tx: Transaction) -> None:
        shop.keys |= add_carts(tx, ids)
        tx.connection.execute(update(carts).where(carts.c.id > 1).values(last_seq=1, qr_expires_at=tx.now + 1000))
        tx.connection.execute(
            insert(commands),
            [
                {"cart_id": cart_id, "seq": 1, "type": "generate_qr", "attempted": False, "boot_generation": 0}
                | {"queued_at": tx.now}
                for cart_id in ids
            ],
        )

    await shop.inside.store.write(add)


async def come(shop: Shop, *ids: int, **headers: str) -> "asyncio.Task[list[CartConnection]]":
    """All in the same moment; the claims of all are on their way."""
    before = shop.inside.dispatch.links.claiming_count

    async def all_at_once() -> list[CartConnection]:
        return await asyncio.gather(
            *(connect(shop, f"/ws/hardware/{cart_id}", shop.cart_headers(cart_id) | headers) for cart_id in ids)
        )

    coming = asyncio.create_task(all_at_once())
    await until(lambda: shop.inside.dispatch.links.claiming_count == before + len(ids))
    return coming


async def online(shop: Shop) -> int:
    (count,) = await shop.rows(select(func.count()).where(carts.c.link_node.is_not(None)))
    return int(count[0])


async def test_all_who_come_at_once_are_caught_up_in_far_fewer_transactions(shop: Shop) -> None:
    await furnish(shop)
    with handed_over(shop) as write:
        with writer_blocked(shop):
            coming = await come(shop, *CARTS)
        back = await coming
        claiming = write.call_count
        for cart in back:
            await heard(cart, GENERATE_QR)
    assert claiming < COUNT / 4
    assert len(shop.inside.dispatch.links) == await online(shop) == COUNT


async def test_all_who_go_at_once_are_released_in_far_fewer_transactions(shop: Shop) -> None:
    await furnish(shop)
    gone = await asyncio.gather(*(raw(shop, cart_id) for cart_id in CARTS))
    for cart in gone:
        await heard(cart, GENERATE_QR)
    await shop.inside.dispatch.receipts.finish()
    with handed_over(shop) as write:
        with writer_blocked(shop):
            for cart in gone:
                cart.cut()
            await until(lambda: not shop.inside.dispatch.links)
        await until(lambda: not shop.inside.dispatch.background)
        assert write.call_count < COUNT / 4
    assert await online(shop) == 0


async def test_a_shopper_s_scan_goes_before_all_claims_that_wait(
    sqlite_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the one writer. PostgreSQL has several, of which claims take two."""
    started: list[int] = []

    def claim_many(tx: Transaction, *rest: Any) -> object:
        started.append(tx.connection.execute(select(func.count()).select_from(sessions)).scalar_one())
        return ownership.claim_many(tx, *rest)

    async with open_shop(sqlite_database) as shop:
        await shop.furnish()
        await furnish(shop, range(2, 52))
        shopper = await shop.shopper()
        await raw(shop)
        token = await shop.qr()
        monkeypatch.setattr("duckycart.hardware.connect.claim_many", claim_many)
        with writer_blocked(shop):
            coming = await come(shop, *range(2, 52))
            with handed_over(shop) as write:
                scanning = asyncio.create_task(shop.scan(token, shopper))
                await until(lambda: any(call.kwargs.get("hurry", True) for call in write.call_args_list))
        assert (await scanning).status_code == 200
        for cart in await coming:
            assert cart.status == 101
            cart.cut()
        assert set(started) == {1}


async def test_who_is_refused_does_not_hurt_the_others_in_the_batch(shop: Shop) -> None:
    await furnish(shop)
    some = range(2, 32)
    for cart_id in some[::3]:
        shop.keys[cart_id] = "wrong"
    await shop.inside.store.write(
        lambda tx: tx.connection.execute(update(carts).where(carts.c.id.in_(some[1::3])).values(disabled=True))
    )
    shop.keys[999] = "of nobody"
    with writer_blocked(shop):
        coming = await come(shop, *some, 999)
    back = await coming
    assert [cart.status for cart in back] == [403, 403, 101] * 10 + [403]
    for cart in back[2::3]:
        await heard(cart, GENERATE_QR)
    assert len(shop.inside.dispatch.links) == await online(shop) == 10


async def test_f01_of_two_connections_of_each_cart_the_newest_owns_it(shop: Shop) -> None:
    await furnish(shop)
    some = range(2, 22)
    with writer_blocked(shop):
        coming = [await come(shop, *some), await come(shop, *some)]
    older, newer = await coming[0], await coming[1]
    await until(lambda: len(shop.inside.dispatch.links) == len(some))
    await until(lambda: all(cart.closed for cart in older))
    assert all(cart.closed is not None and cart.closed[0] == 4409 for cart in older)
    assert [(cart.status, cart.closed) for cart in newer] == [(101, None)] * len(some)
    rows = await shop.rows(select(carts.c.link_epoch).where(carts.c.id.in_(some)))
    assert {row.link_epoch for row in rows} == {2}


async def test_f32_carts_that_all_lost_their_memory_hear_again_what_they_had_received(shop: Shop) -> None:
    await furnish(shop)
    some = range(2, 32)
    for boot in ("one", "two"):
        with writer_blocked(shop):
            coming = await come(shop, *some, **{"Cart-Boot-Id": boot})
        for cart in await coming:
            await heard(cart, GENERATE_QR)
        for cart_id in some:
            assert await shop.settled(cart_id) == ["received"]
    with writer_blocked(shop):
        coming = await come(shop, *some, **{"Cart-Boot-Id": "two"})
    for cart in await coming:
        await heard(cart)


async def test_a_batch_the_database_does_not_do_is_503_for_all_and_leaves_nobody_registered(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(tx: Transaction, *rest: Any) -> None:
        ownership.claim_many(tx, *rest)
        raise OperationalError("", {}, sqlite3.OperationalError("gone"))

    await furnish(shop)
    some = range(2, 42)
    dispatch, connector = shop.inside.dispatch, shop.inside.connector
    with monkeypatch.context() as patch:
        patch.setattr("duckycart.hardware.connect.claim_many", fails)
        with writer_blocked(shop):
            coming = await come(shop, *some)
        assert {cart.status for cart in await coming} == {503}
    await until(lambda: not dispatch.background and not connector.handshaking)
    assert (len(connector.links), connector.links.claiming_count, len(connector.claims)) == (0, 0, 0)
    assert await online(shop) == 0
    for cart in await asyncio.gather(*(raw(shop, cart_id) for cart_id in some)):
        await heard(cart, GENERATE_QR)


# In front of the turnstile


async def test_who_finds_no_room_inside_waits_and_is_let_in(shop: Shop) -> None:
    await furnish(shop, range(2, 12))
    shop.inside.connector.turnstile.most = 1
    with writer_blocked(shop):
        first = asyncio.create_task(raw(shop, 2))
        await until(lambda: shop.inside.connector.handshaking)
        others = asyncio.gather(*(raw(shop, cart_id) for cart_id in range(3, 12)))
        await until(lambda: len(shop.inside.connector.turnstile) == 9)
    for cart in (await first, *await others):
        await heard(cart, GENERATE_QR)


async def test_who_goes_away_while_it_waits_never_claims(shop: Shop) -> None:
    await furnish(shop, range(2, 4))
    shop.inside.connector.turnstile.most = 1
    with writer_blocked(shop):
        inside = asyncio.create_task(raw(shop, 2))
        await until(lambda: shop.inside.connector.handshaking)
        _, writer = await asyncio.open_connection("127.0.0.1", shop.port)
        writer.write(f"GET /ws/hardware/3?key={shop.keys[3]} HTTP/1.1\r\nHost: shop\r\n".encode())
        await until(lambda: len(shop.inside.connector.turnstile))
        before = len(shop.server.server_state.connections)
        writer.transport.abort()
        await until(lambda: len(shop.server.server_state.connections) < before)
    await inside
    await until(lambda: not len(shop.inside.connector.turnstile))
    assert (await shop.cart_row(3)).link_epoch == 0


async def test_f25_who_waits_cannot_fill_our_memory(shop: Shop) -> None:
    shop.inside.connector.turnstile.most = 0
    reader, writer = await asyncio.open_connection("127.0.0.1", shop.port)
    writer.write(b"GET /ws/hardware/1 HTTP/1.1\r\nHost: shop\r\nX-Long: " + b"x" * 100_000)
    async with asyncio.timeout(20):
        assert b" 400 " in await reader.readline()
    writer.close()


async def test_others_do_not_wait_for_carts(shop: Shop) -> None:
    shop.inside.connector.turnstile.most = 0
    coming = asyncio.create_task(connect(shop))
    await until(lambda: len(shop.inside.connector.turnstile))
    assert (await shop.http.get("/healthz")).status_code == 200
    shop.inside.connector.turnstile.most = 1
    shop.inside.connector.turnstile.go_on()
    assert (await coming).status == 101


async def test_what_is_more_than_may_wait_is_refused(shop: Shop) -> None:
    shop.inside.connector.turnstile.places = 0
    assert await refused(shop) == (503, "2")
    shop.inside.connector.turnstile.places = 1
    await raw(shop)
