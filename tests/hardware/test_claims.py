"""Claims that race: with each other, with commands, with the end of their own connection."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import psycopg
import pytest
from sqlalchemy import make_url

from duckycart.hardware import ownership
from duckycart.hardware.catchup import Filled
from duckycart.hardware.ending import Refused
from duckycart.hardware.link import Link
from duckycart.hardware.links import Connection, Links
from duckycart.hardware.ownership import Claim, claim_many
from duckycart.refusals import DATABASE_UNAVAILABLE
from duckycart.store.transaction import Transaction
from duckycart.testing.cart import CartConnection
from duckycart.testing.waiting import until
from tests.hardware.helpers import GENERATE_QR, connect, handed_over, heard, raw, refused, writer_blocked
from tests.world import Shop, open_shop


async def connecting(shop: Shop, answers: bool = True) -> "asyncio.Task[CartConnection]":
    """A connection whose claim waits for the writer."""
    before = shop.inside.dispatch.links.claiming_count
    task = asyncio.create_task(connect(shop, answers=answers))
    await until(lambda: shop.inside.dispatch.links.claiming_count > before)
    return task


async def at_rest(shop: Shop) -> None:
    await until(lambda: not shop.inside.dispatch.background and not shop.inside.connector.handshaking)


async def test_a_connection_that_goes_away_while_its_claim_waits_never_claims(shop: Shop) -> None:
    """Not even where its turn has come, and it is the cart's lock that it waits for."""
    with writer_blocked(shop):
        leave = await _leave(shop)
        leave()
        await until(lambda: not shop.server.server_state.connections)
    await at_rest(shop)
    row = await shop.cart_row()
    assert (row.link_epoch, row.link_node) == (0, None)
    assert shop.inside.dispatch.links.claiming_count == 0


async def test_f01_whether_a_claim_is_wanted_is_asked_under_the_cart_s_lock(postgres_database: str) -> None:
    """While it waited for the lock the cart may have gone to another node, whose claim was quicker."""
    url = make_url(postgres_database).set(drivername="postgresql").render_as_string(hide_password=False)
    asked = False

    def wanted() -> bool:
        nonlocal asked
        with psycopg.connect(url) as other, pytest.raises(psycopg.errors.LockNotAvailable):
            other.execute("SELECT FROM carts WHERE id = 1 FOR NO KEY UPDATE NOWAIT")
        asked = True
        return False

    async with open_shop(postgres_database) as shop:
        await shop.furnish()
        claim = Claim(1, None, None, wanted)
        assert await shop.inside.store.write(lambda tx: claim_many(tx, [claim], "a node")) == [Refused.CART_LEFT]
        row = await shop.cart_row()
        assert (row.link_epoch, row.link_node) == (0, None)
    assert asked


async def _leave(shop: Shop) -> Callable[[], None]:
    """Connect; what is returned breaks the connection."""
    _, writer = await asyncio.open_connection("127.0.0.1", shop.port)
    key = shop.keys[1]
    writer.write(
        f"GET /ws/hardware/1?key={key} HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    await until(lambda: shop.inside.dispatch.links.claiming_count)
    return lambda: writer.transport.abort()


async def test_a_connection_that_goes_away_during_its_claim_leaves_the_cart_offline(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer has begun the claim when the connection breaks: it is released by its epoch."""
    really = ownership.claim_many
    loop = asyncio.get_running_loop()
    abort: list[Callable[[], None]] = []

    def claim_many(tx: Transaction, *rest: Any) -> object:
        filled = really(tx, *rest)
        asyncio.run_coroutine_threadsafe(_break(), loop).result(20)
        return filled

    async def _break() -> None:
        abort[0]()
        await until(lambda: not shop.server.server_state.connections)

    monkeypatch.setattr("duckycart.hardware.connect.claim_many", claim_many)
    with writer_blocked(shop):
        abort.append(await _leave(shop))
    await at_rest(shop)
    await shop.offline()
    assert (await shop.cart_row()).link_epoch == 1
    assert len(shop.inside.dispatch.links) == 0


async def test_a_claim_that_came_too_late_is_released_by_its_epoch(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    really = ownership.claim_many
    loop = asyncio.get_running_loop()
    made = 0

    def claim_many(tx: Transaction, *rest: Any) -> object:
        nonlocal made
        filled = really(tx, *rest)
        made += len([one for one in filled if isinstance(one, Filled)])
        asyncio.run_coroutine_threadsafe(until(lambda: not shop.inside.connector.handshaking), loop).result(20)
        return filled

    monkeypatch.setattr("duckycart.hardware.connect.CLAIM_SECONDS", 0.05)
    monkeypatch.setattr("duckycart.hardware.connect.claim_many", claim_many)
    while not made:  # on a machine that is busy a claim may be given up before the writer looks at it
        assert await refused(shop) == (503, "2")
    await at_rest(shop)
    row = await shop.cart_row()
    assert (row.link_epoch, row.link_node) == (made, None)


async def test_two_connections_that_claim_at_once_leave_one_and_all_agree_which(shop: Shop) -> None:
    with writer_blocked(shop):
        first, second = await connecting(shop), await connecting(shop)
    carts = [await first, await second]
    await until(lambda: len(shop.inside.dispatch.links) == 1)
    current = shop.inside.dispatch.links.current(1)
    assert current is not None
    row = await shop.cart_row()
    assert (row.link_epoch, row.link_node) == (current.link.epoch, shop.inside.dispatch.node) == (2, row.link_node)
    await until(lambda: [cart for cart in carts if cart.closed or cart.status != 101])
    await shop.qr()
    await until(lambda: [cart.texts for cart in carts if cart.texts])
    assert sorted(len(cart.texts) for cart in carts) == [0, 1]
    assert await shop.settled() == ["received"]


async def test_a_command_committed_while_the_claim_waits_is_delivered_once(shop: Shop) -> None:
    """On the one writer it hurries past the claim; where they race for the lock, either may be first."""
    (await raw(shop)).cut()
    await shop.offline()
    with writer_blocked(shop):
        opening = await connecting(shop)
        with handed_over(shop) as write:
            asking = asyncio.create_task(shop.qr())
            await until(lambda: write.called)
    await asking
    cart = await opening
    await heard(cart, GENERATE_QR)
    await shop.sweep()
    assert await shop.settled() == ["received"]
    assert cart.texts == [GENERATE_QR]


async def test_a_command_committed_after_the_claim_but_before_its_answer_is_delivered_once(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    (await raw(shop)).cut()
    await shop.offline()
    loop = asyncio.get_running_loop()
    asking: list[asyncio.Task[str]] = []
    really = ownership.claim_many

    async def ask() -> None:
        with handed_over(shop) as write:
            asking.append(asyncio.create_task(shop.qr()))
            await until(lambda: write.called)

    def claim_many(tx: Transaction, *rest: Any) -> object:
        filled = really(tx, *rest)
        asyncio.run_coroutine_threadsafe(ask(), loop).result(20)
        return filled

    monkeypatch.setattr("duckycart.hardware.connect.claim_many", claim_many)
    cart = await raw(shop)
    await asking[0]
    await heard(cart, GENERATE_QR)
    assert await shop.settled() == ["received"]
    assert cart.texts == [GENERATE_QR]


async def test_f01_a_link_that_was_taken_over_elsewhere_is_told_nothing_more(shop: Shop) -> None:
    cart = await raw(shop)
    assert await shop.inside.store.write(lambda tx: claim_many(tx, [Claim(1, None, None)], "elsewhere"))
    await shop.qr()
    await shop.sweep()
    await cart.gone()
    assert cart.texts == []
    assert cart.closed is not None
    assert cart.closed[0] == 4409


async def test_when_a_newer_claim_was_quicker_the_older_one_is_refused(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    winner = await raw(shop)
    current = shop.inside.dispatch.links.current(1)
    assert current is not None
    current.link.epoch = 99
    assert await refused(shop) == (503, "1")
    assert shop.inside.dispatch.links.current(1) is current
    assert winner.closed is None


class Fake:
    """A connection of cart 1 as the registry sees it."""

    bucket = -1

    def __init__(self, epoch: int) -> None:
        self.link = Link(1, 0.0)
        self.link.claimed(epoch, 0)


def test_f02_the_registry_keeps_the_newest_and_removes_by_identity() -> None:
    older, newer = cast(Connection, Fake(1)), cast(Connection, Fake(2))
    links = Links()
    links.claiming(older)
    assert links.take(newer) is None
    assert links.take(older) is older
    links.remove(older)
    assert links.current(1) is newer
    assert links.take(cast(Connection, Fake(3))) is newer
    assert links.claiming_count == 0


async def test_a_release_the_database_refused_is_done_by_a_later_sweep(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = ownership.release_many

    def fail(*_: object) -> None:
        raise DATABASE_UNAVAILABLE()

    monkeypatch.setattr("duckycart.hardware.connect.release_many", fail)
    cart = await raw(shop)
    cart.cut()
    await until(lambda: shop.inside.connector.claims._unreleased)
    monkeypatch.setattr("duckycart.hardware.connect.release_many", really)
    assert (await shop.cart_row()).link_node is not None
    await shop.sweep()
    await shop.offline()
