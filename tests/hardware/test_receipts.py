"""Sent is not received: what counts as a receipt, and what a cart hears again (F03, F30)."""

import asyncio

import pytest
from sqlalchemy import event

from duckycart.effects import Received
from duckycart.hardware import dispatch, receipts
from duckycart.hardware.link import Link, Send
from duckycart.hardware.receipts import KEPT_SECONDS
from duckycart.refusals import DATABASE_UNAVAILABLE
from duckycart.store.tables import commands
from duckycart.store.threads import ThreadedStore
from duckycart.store.transaction import Transaction
from duckycart.testing.cart import CartConnection
from duckycart.testing.waiting import until
from duckycart.wire import Command, CommandType
from tests.hardware.helpers import GENERATE_QR, Logged, handed_over, heard, of, raw, said, writer_blocked
from tests.world import Shop


async def session_on_deaf_cart(shop: Shop) -> tuple[int, CartConnection]:
    cart = await raw(shop, answers=False)
    session_id = await shop.start(await shop.shopper())
    await heard(cart, GENERATE_QR, said("session_started", session_id))
    return session_id, cart


async def test_f03_sent_until_the_pong_and_received_after_it(shop: Shop) -> None:
    cart = await raw(shop, answers=False)
    answer = await shop.http.get("/customer-session/qr/1", headers=shop.cart_headers())
    assert answer.headers["Hardware-Delivery"] == "sent"
    await heard(cart, GENERATE_QR)
    await until(lambda: _states_are(shop, "sent"))
    cart.pong(b"1")
    assert await shop.settled() == ["received"]


async def _states_are(shop: Shop, *states: str) -> bool:
    return await shop.states() == list(states)


async def test_f03_queued_while_the_cart_is_away(shop: Shop) -> None:
    answer = await shop.http.get("/customer-session/qr/1", headers=shop.cart_headers())
    assert answer.status_code == 409  # never connected: away for over 60 s
    cart = await raw(shop)
    cart.cut()
    await shop.offline()
    answer = await shop.http.get("/customer-session/qr/1", headers=shop.cart_headers())
    assert answer.headers["Hardware-Delivery"] == "queued"


async def test_f03_a_pong_on_another_link_proves_nothing(shop: Shop) -> None:
    await shop.add_cart(2)
    cart, other = await raw(shop, answers=False), await raw(shop, 2)
    await shop.qr()
    await heard(cart, GENERATE_QR)
    other.pong(b"1")
    await shop.qr(2)
    assert await shop.settled(2) == ["received"]
    await until(lambda: _states_are(shop, "sent"))


async def test_prefer_wait_is_answered_by_the_pong(shop: Shop) -> None:
    cart = await raw(shop, answers=False)
    asking = asyncio.create_task(
        shop.http.get("/customer-session/qr/1", headers={**shop.cart_headers(), "Prefer": "wait=5"})
    )
    await heard(cart, GENERATE_QR)
    cart.pong(b"1")
    assert (await asking).headers["Hardware-Delivery"] == "received"


async def test_a_receipt_is_known_before_it_is_written(shop: Shop) -> None:
    cart = await raw(shop, answers=False)
    await shop.qr()
    await heard(cart, GENERATE_QR)
    with writer_blocked(shop):
        assert await shop.inside.dispatch.delivery(1, 1, 0) == "sent"
        cart.pong(b"1")
        await until(lambda: _delivery_is(shop, "received"))
        assert await shop.inside.dispatch.delivery(1, 1, 5) == "received"


async def _delivery_is(shop: Shop, state: str) -> bool:
    return await shop.inside.dispatch.delivery(1, 1, 0) == state


async def test_f30_the_receipt_of_session_started_is_written_at_once(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receipts, "BATCH_SECONDS", 3600.0)
    _, cart = await session_on_deaf_cart(shop)
    cart.pong(b"2")
    assert await shop.settled() == ["received", "received"]


async def test_f30_receipts_not_written_yet_come_before_the_next_claim(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receipts, "BATCH_SECONDS", 3600.0)
    cart = await raw(shop)
    await shop.qr()
    await heard(cart, GENERATE_QR)
    await until(lambda: _delivery_is(shop, "received"))
    assert await shop.states() == ["queued"]
    again = await raw(shop)
    assert await shop.states() == ["received"]
    assert again.texts == []


async def test_f30_a_late_receipt_on_the_old_link_counts(shop: Shop) -> None:
    session_id, old = await session_on_deaf_cart(shop)
    new = await raw(shop, answers=False)
    await until(lambda: old.closed)
    old.pong(b"2")
    assert (await shop.settled())[1] == "received"
    await heard(new, said("session_started", session_id))
    await heard(await raw(shop))


async def test_f30_a_receipt_between_a_claim_and_its_rows_is_not_forgotten(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    cart = await raw(shop, answers=False)
    await shop.qr()
    await heard(cart, GENERATE_QR)
    await until(lambda: _states_are(shop, "sent"))
    monkeypatch.setattr(receipts, "BATCH_SECONDS", 3600.0)
    with writer_blocked(shop):
        opening = asyncio.create_task(raw(shop, answers=False))
        await until(lambda: shop.inside.dispatch.links.claiming_count)
        cart.pong(b"1")
        await until(lambda: _delivery_is(shop, "received"))
    new = await opening
    await heard(await raw(shop))
    assert new.texts == []
    assert await shop.states() == ["received"]


async def test_f30_a_receipt_that_the_database_refuses_is_known_to_the_next_link(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, cart = await session_on_deaf_cart(shop)

    def fail(tx: object, pending: object) -> None:
        raise DATABASE_UNAVAILABLE()

    with monkeypatch.context() as patch:
        patch.setattr(receipts, "_write_rows", fail)
        cart.pong(b"2")
        await until(lambda: _all_read(shop))
        again = await raw(shop)
    assert (await shop.settled())[1] == "received"
    await heard(await raw(shop))
    assert again.texts == []


def _all_read(shop: Shop) -> bool:
    connection = shop.inside.dispatch.links.current(1)
    return connection is not None and connection.link.all_read


async def test_f30_a_receipt_that_another_node_could_not_write_yet_is_known_to_the_next_link(shop: Shop) -> None:
    session_id, cart = await session_on_deaf_cart(shop)
    cart.cut()
    await shop.offline()
    started = Command(CommandType.SESSION_STARTED, session_id)
    shop.inside.dispatch.wake(Received(1, 2, started, generation=0))
    await heard(await raw(shop))
    assert (await shop.settled())[1] == "received"  # that node may have died before writing it


async def test_f06_what_was_heard_lately_is_forgotten(shop: Shop) -> None:
    session_id, cart = await session_on_deaf_cart(shop)
    shop.inside.dispatch.wake(Received(1, 2, Command(CommandType.SESSION_STARTED, session_id), generation=0))
    cart.cut()
    await shop.offline()
    shop.clock.move(KEPT_SECONDS + 1)
    shop.tick()
    await heard(await raw(shop), said("session_started", session_id))


async def test_f30_a_call_of_the_cart_is_a_receipt(shop: Shop) -> None:
    session_id, cart = await session_on_deaf_cart(shop)
    assert (await shop.add(session_id)).status_code == 200
    assert (await shop.states())[1] == "received"
    cart.cut()
    await heard(await raw(shop))


def received(logged: Logged) -> list[int]:
    """The seqs that the log says were received, in its order."""
    return [line["seq"] for line in of(logged, "command received")]


async def test_of_a_pong_and_a_call_the_log_has_one_receipt_when_the_pong_comes_first(
    shop: Shop, logged: Logged
) -> None:
    session_id, cart = await session_on_deaf_cart(shop)
    await until(lambda: _states_are(shop, "sent", "sent"))
    with handed_over(shop) as writes:
        with writer_blocked(shop):  # so the pong's receipt is in no row yet when the call comes
            cart.pong(b"2")
            await until(lambda: received(logged) == [1, 2])
            calling = asyncio.create_task(shop.add(session_id))
            await until(lambda: writes.call_count == 3)  # who blocks, the pong's, the call's
        assert (await calling).status_code == 200
    assert received(logged) == [1, 2]


async def test_of_a_pong_and_a_call_the_log_has_one_receipt_when_the_call_comes_first(
    shop: Shop, logged: Logged
) -> None:
    session_id, cart = await session_on_deaf_cart(shop)
    assert (await shop.add(session_id)).status_code == 200
    assert received(logged) == [2]
    cart.pong(b"2")
    await until(lambda: received(logged) == [2, 1])
    await shop.settled()
    assert received(logged) == [2, 1]


async def test_f30_a_call_of_the_cart_is_a_receipt_of_all_that_came_before(shop: Shop) -> None:
    shopper = await shop.shopper()
    cart = await raw(shop, answers=False)
    first = await shop.start(shopper)
    await shop.http.post(f"/customer-session/{first}/end", headers=shopper)
    second = await shop.start(shopper)
    assert (await shop.add(second)).status_code == 200
    cart.cut()
    await heard(await raw(shop))  # and not the end of the first session, in the middle of the second


async def test_f32_a_receipt_of_the_boot_before_does_not_count(shop: Shop) -> None:
    old = await raw(shop, answers=False, boot="one")
    session_id = await shop.start(await shop.shopper())
    await heard(old, GENERATE_QR, said("session_started", session_id))
    new = await raw(shop, answers=False, boot="two")
    old.pong(b"2")
    await heard(new, said("session_started", session_id))
    await heard(await raw(shop, boot="two"), said("session_started", session_id))


async def test_receipts_the_database_did_not_take_are_written_later(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receipts, "BATCH_SECONDS", 0.001)
    cart = await raw(shop, answers=False)
    await shop.qr()
    await heard(cart, GENERATE_QR)
    await until(lambda: _states_are(shop, "sent"))
    failures = 0
    really = receipts._write_rows

    def fail(tx: object, pending: object) -> None:
        nonlocal failures
        failures += 1
        raise DATABASE_UNAVAILABLE()

    monkeypatch.setattr(receipts, "_write_rows", fail)
    cart.pong(b"1")
    await until(lambda: failures >= 2)
    monkeypatch.setattr(receipts, "_write_rows", really)
    assert await shop.settled() == ["received"]


async def test_f03_what_came_during_a_write_is_written_when_its_moment_is_the_writes_last(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The timer that finds a write under way leaves the rest to it, so it must not find one that is over."""
    written: list[asyncio.Future[None]] = []

    def write(work: object, *, hurry: bool = True) -> asyncio.Future[None]:
        written.append(asyncio.get_running_loop().create_future())
        return written[-1]

    gathering = shop.inside.dispatch.receipts
    monkeypatch.setattr(receipts, "BATCH_SECONDS", 0.0)
    with monkeypatch.context() as patch:  # not to the end: the server writes when it stops
        patch.setattr(shop.inside.store, "write", write)
        link = Link(1, now=0.0)
        gathering.sent(link, Send(1, Command(CommandType.GENERATE_QR, None)))
        await until(lambda: len(written) == 1)
        gathering.sent(link, Send(2, Command(CommandType.END_SESSION, None)))
        written[0].set_result(None)  # it learns that it is done in the loop's next turn, in which the timer is due
        await until(lambda: len(written) == 2)
        written[1].set_result(None)
        await until(lambda: gathering.has_all(link))


async def test_f26_whatever_fails_at_the_end_receipts_are_written(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(receipts, "BATCH_SECONDS", 3600.0)
    monkeypatch.setattr(dispatch, "fill", fail)
    await raw(shop)
    await shop.qr()
    await until(lambda: _delivery_is(shop, "received"))
    connection = shop.inside.dispatch.links.current(1)
    assert connection is not None
    connection.behind(9)
    await shop.inside.dispatch.finish()
    assert await shop.states() == ["received"]


async def test_f26_at_the_end_receipts_are_written_at_a_second_try(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    really, tries = receipts._write_rows, 0

    def fail_once(tx: Transaction, pending: receipts.Pending) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise DATABASE_UNAVAILABLE()
        really(tx, pending)

    monkeypatch.setattr(receipts, "BATCH_SECONDS", 3600.0)
    monkeypatch.setattr(receipts, "_write_rows", fail_once)
    await raw(shop)
    await shop.qr()
    await until(lambda: _delivery_is(shop, "received"))
    await shop.inside.dispatch.finish()
    assert await shop.states() == ["received"]


async def test_f14_open_sockets_hold_no_database_connection(shop: Shop) -> None:
    opened = 0

    def count(*_: object) -> None:
        nonlocal opened
        opened += 1

    store = shop.inside.store
    assert isinstance(store, ThreadedStore)
    event.listen(store._engine, "connect", count)
    for cart_id in range(2, 42):
        await shop.add_cart(cart_id)
        await raw(shop, cart_id)
    assert len(shop.inside.dispatch.links) == 40
    await shop.rows(commands.select())
    assert opened <= len(store._writers) + len(store._readers)  # whatever the number of carts
