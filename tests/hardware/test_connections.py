"""Each end of a connection has a reason from a closed list, in the log and in the cart's record (F71)."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import func, select, update
from websockets.frames import Frame, Opcode

from duckycart.guards.frames import FLOOD_FRAMES
from duckycart.hardware import connections as records
from duckycart.hardware import ownership
from duckycart.hardware import socket as hardware_socket
from duckycart.hardware.catchup import Filled
from duckycart.hardware.connections import PastConnection, last_connections, past_refusals
from duckycart.hardware.drain import drain
from duckycart.hardware.ending import CLOSES, Ended, Ending, Gone, Refused
from duckycart.hardware.ownership import Claim, claim_many, release_all, release_many, take_back
from duckycart.hardware.socket import MAX_ASKED, MAX_EARLY, HardwareSocket
from duckycart.lifecycle.retention import forget_the_rest
from duckycart.refusals import DATABASE_UNAVAILABLE
from duckycart.store.tables import CONNECTIONS_KEPT, carts, connections, refusals
from duckycart.store.transaction import Transaction
from duckycart.testing.cart import CartConnection
from duckycart.testing.waiting import until
from tests.conftest import OpenShop
from tests.hardware.helpers import Logged, connect, cut_all, of, raw, refused, rotate_key, writer_blocked
from tests.world import Shop


async def past(shop: Shop, cart_id: int = 1) -> list[PastConnection]:
    return await shop.inside.store.read(lambda connection: last_connections(connection, cart_id))


def current(shop: Shop) -> HardwareSocket:
    connection = shop.inside.dispatch.links.current(1)
    assert isinstance(connection, HardwareSocket)
    return connection


def frame(opcode: Opcode, data: bytes) -> bytes:
    return Frame(opcode, data).serialize(mask=True)


async def closes(shop: Shop, cart: CartConnection) -> None:
    cart.send(frame(Opcode.CLOSE, b"\x03\xe9"))


async def says_no_more(shop: Shop, cart: CartConnection) -> None:
    cart.end_of_stream()


async def is_reset(shop: Shop, cart: CartConnection) -> None:
    cart.cut(reset=True)


async def breaks_the_protocol(shop: Shop, cart: CartConnection) -> None:
    cart.send(b"\x83\x80mask")


async def is_no_text(shop: Shop, cart: CartConnection) -> None:
    cart.send(frame(Opcode.CLOSE, b"\x03\xe8\xff"))


async def sends_much(shop: Shop, cart: CartConnection) -> None:
    cart.send(frame(Opcode.TEXT, b"x" * 4097))


async def floods(shop: Shop, cart: CartConnection) -> None:
    cart.send(frame(Opcode.PONG, b"") * (FLOOD_FRAMES + 1))


async def does_not_read(shop: Shop, cart: CartConnection) -> None:
    current(shop).pause_writing()


async def is_dead(shop: Shop, cart: CartConnection) -> None:
    for _ in range(40):
        shop.clock.move(1)
        shop.tick()


async def comes_again(shop: Shop, cart: CartConnection) -> None:
    await raw(shop)


async def is_withdrawn(shop: Shop, cart: CartConnection) -> None:
    await rotate_key(shop, "another")
    await shop.sweep()


async def is_sent_away(shop: Shop, cart: CartConnection) -> None:
    await drain(shop.inside.dispatch, shop.inside.store, 100, lambda: False)


async def meets_an_error(shop: Shop, cart: CartConnection) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("a bug")

    shop.inside.dispatch.sent = fails  # type: ignore[assignment,method-assign]
    await shop.qr()


async def sends_what_we_stumble_over(shop: Shop, cart: CartConnection) -> None:
    def fails(_: object) -> None:
        raise RuntimeError("a bug")

    shop.inside.connector.answered = fails  # type: ignore[assignment,method-assign]
    cart.pong(b"")


Way = Callable[[Shop, CartConnection], Awaitable[None]]


@pytest.mark.parametrize(
    ("way", "reason", "code"),
    [
        (closes, Ended.CART_CLOSED, 1001),
        (says_no_more, Ended.CART_LEFT, None),
        (is_reset, Ended.BROKEN, None),
        (breaks_the_protocol, Ended.PROTOCOL_ERROR, 1002),
        (is_no_text, Ended.PROTOCOL_ERROR, 1007),
        (sends_much, Ended.FRAME_TOO_BIG, 1009),
        (floods, Ended.FLOOD, 1008),
        (does_not_read, Ended.DID_NOT_READ, None),
        (is_dead, Ended.NO_PONG, 4408),
        (comes_again, Ended.TAKEN_OVER, 4409),
        (is_withdrawn, Ended.WITHDRAWN, 1008),
        (is_sent_away, Ended.DRAINED, 1012),
        (meets_an_error, Ended.ERROR, None),
        (sends_what_we_stumble_over, Ended.ERROR, None),
    ],
)
async def test_f71_each_end_has_its_reason_in_the_log_and_in_the_record(
    shop: Shop, logged: Logged, monkeypatch: pytest.MonkeyPatch, way: Way, reason: Ended, code: int | None
) -> None:
    monkeypatch.setattr(hardware_socket, "CLOSE_SECONDS", 0.05)
    cart = await raw(shop, answers=way is not is_dead)
    shop.clock.move(5)
    await way(shop, cart)
    await until(lambda: of(logged, "cart disconnected"))
    (line,) = of(logged, "cart disconnected")
    assert (line["cart"], line["epoch"], line["reason"], line["ended_by"]) == (1, 1, reason, reason.by)
    assert code in {line["code_sent"], line["code_received"]}
    assert line["seconds"] >= 5
    await until(lambda: not shop.inside.dispatch.background)
    first = (await past(shop))[-1]
    assert (first.epoch, first.reason, first.close_code) == (1, reason, code)
    assert (first.node, first.address) == (shop.inside.dispatch.node, "127.0.0.1")
    assert first.until is not None
    assert first.until - first.since == line["seconds"] * 1000
    assert reason in {*CLOSES} or code not in {close for close, _ in CLOSES.values()}


async def test_f71_a_stopped_server_is_the_reason_and_the_next_start_knows(opening: OpenShop, logged: Logged) -> None:
    async with opening() as shop:
        await shop.furnish()
        await raw(shop)
    (line,) = of(logged, "cart disconnected")
    assert (line["reason"], line["code_sent"]) == (Ended.SERVER_STOPPED, 1012)
    async with opening() as shop:
        (one,) = await past(shop)
    assert (one.reason, one.close_code) == (Ended.SERVER_STOPPED, 1012)


async def test_f71_whatever_a_proxy_calls_a_cart_the_record_has_room_for_it(opening: OpenShop) -> None:
    async with opening(trusted_proxies="127.0.0.1") as shop:
        await shop.furnish()
        await connect(shop, headers=shop.cart_headers() | {"Forwarded": f'for="_{"x" * 40}"'})
        await connect(shop, headers={"Forwarded": f'for="_{"x" * 40}"'})
        await shop.sweep()
        (one,) = await past(shop)
        (refusal,) = await shop.inside.store.read(lambda connection: past_refusals(connection, 1))
        assert one.address == refusal.address
        assert len(one.address or "") == 45
        await cut_all(shop)


async def test_f71_what_was_sent_and_read_is_counted(shop: Shop) -> None:
    cart = await raw(shop)
    for _ in range(3):
        await shop.qr()
    await shop.settled()
    (lasting,) = await past(shop)
    assert (lasting.reason, lasting.until, lasting.commands_sent) == (None, None, None)
    cart.answer_pings = False
    await shop.qr()
    await until(lambda: len(cart.texts) == 4)
    cart.cut()
    await shop.offline()
    await until(lambda: not shop.inside.dispatch.background)
    (one,) = await past(shop)
    assert (one.commands_sent, one.commands_received) == (4, 3)


async def test_f71_a_cart_that_left_during_its_claim_was_never_opened(
    shop: Shop, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()

    def claim_many(tx: Transaction, *rest: Any) -> object:
        filled = ownership.claim_many(tx, *rest)
        loop.call_soon_threadsafe(writer.transport.abort)
        asyncio.run_coroutine_threadsafe(until(lambda: not shop.server.server_state.connections), loop).result(20)
        return filled

    monkeypatch.setattr("duckycart.hardware.connect.claim_many", claim_many)
    _, writer = await asyncio.open_connection("127.0.0.1", shop.port)
    writer.write(
        f"GET /ws/hardware/1?key={shop.keys[1]} HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    await until(lambda: of(logged, "cart refused"))
    await shop.offline()
    await until(lambda: not shop.inside.dispatch.background)
    (line,) = of(logged, "cart refused")
    assert (line["reason"], line["status"]) == (Refused.CART_LEFT, None)
    assert of(logged, "cart disconnected") == []
    (one,) = await past(shop)
    assert (one.reason, one.until) == (Ended.NEVER_OPENED, one.since)


async def test_f71_an_end_that_nobody_wrote_is_concluded(shop: Shop) -> None:
    """Of a server that was killed: by the next start, or by whoever claims the cart."""

    async def claimed() -> None:
        shop.clock.move(10)
        claim = Claim(1, None, None, address="10.0.0.1")
        await shop.inside.store.write(lambda tx: claim_many(tx, [claim], "node"))

    shop.clock.correct(86_400)  # people are told the time of day, however long the shop's own clock ran
    await claimed()
    began = shop.clock.now()
    (lasts,) = await past(shop)
    assert (lasts.reason, lasts.until) == (None, None)
    shop.clock.move(60)
    await shop.inside.store.write(release_all)
    (one,) = await past(shop)
    assert (one.since, one.until, one.reason) == (began, began + 60_000, Ended.NODE_GONE)
    await claimed()
    await claimed()
    third, second, first = await past(shop)
    assert (third.reason, second.reason, first.reason) == (None, Ended.NODE_GONE, Ended.NODE_GONE)
    assert second.until == third.since


async def test_f71_a_node_that_was_given_up_and_lives_has_its_connection_back(shop: Shop) -> None:
    await raw(shop)
    node = shop.inside.dispatch.node
    await shop.inside.store.write(release_all)
    assert [one.reason for one in await past(shop)] == [Ended.NODE_GONE]
    await shop.inside.store.write(lambda tx: take_back(tx, {1: 1}, node))
    assert [one.reason for one in await past(shop)] == [None]


async def test_f71_a_late_end_is_written_to_its_own_connection(shop: Shop) -> None:
    """By its epoch: its place in the ring may be another's by now."""

    def claim_again(tx: Transaction) -> None:
        for _ in range(CONNECTIONS_KEPT + 1):
            claim_many(tx, [Claim(1, None, None)], "node")

    await shop.inside.store.write(claim_again)
    late = [Gone(1, 1, Ending(Ended.NO_PONG)), Gone(1, 3, Ending(Ended.FLOOD))]
    await shop.inside.store.write(lambda tx: records.ended(tx, late))
    found = {one.epoch: one.reason for one in await past(shop)}
    assert found[3] is Ended.FLOOD
    assert Ended.NO_PONG not in found.values()


async def test_f71_a_cart_that_flaps_leaves_a_bounded_record(shop: Shop) -> None:
    await shop.add_cart(2)

    def flap(tx: Transaction) -> None:
        for _ in range(200):
            (filled,) = claim_many(tx, [Claim(1, None, None)], "node")
            assert isinstance(filled, Filled)
            release_many(tx, [Gone(1, filled.epoch, Ending(Ended.CART_LEFT))])
        claim_many(tx, [Claim(2, None, None)], "node")

    await shop.inside.store.write(flap)
    assert [one.epoch for one in await past(shop)] == [*range(200, 200 - CONNECTIONS_KEPT, -1)]
    assert len(await past(shop, 2)) == 1


async def test_f71_a_clock_that_was_set_makes_no_connection_longer_or_shorter(shop: Shop) -> None:
    cart = await raw(shop)
    shop.clock.move(30)
    shop.clock.correct(-86_400)
    cart.cut()
    await shop.offline()
    await until(lambda: not shop.inside.dispatch.background)
    (one,) = await past(shop)
    assert one.until == one.since + 30_000


async def test_f71_an_end_that_the_database_refused_is_written_by_a_later_sweep(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise DATABASE_UNAVAILABLE()

    cart = await raw(shop)
    with monkeypatch.context() as patch:
        patch.setattr("duckycart.hardware.connect.release_many", fail)
        cart.end_of_stream()
        await until(lambda: shop.inside.connector.claims._unreleased)
    shop.clock.move(3600)
    await shop.sweep()
    await until(lambda: not shop.inside.dispatch.background)
    (one,) = await past(shop)
    assert (one.reason, one.until) == (Ended.CART_LEFT, one.since)


# Refusals


async def cut_while_it_waits(shop: Shop, act: Callable[[HardwareSocket], None]) -> None:
    with writer_blocked(shop):
        opening = asyncio.create_task(connect(shop))
        await until(lambda: shop.inside.dispatch.links.claiming_count)
        (connection,) = shop.inside.dispatch.links.of(1)
        assert isinstance(connection, HardwareSocket)
        act(connection)
        await (await opening).gone()


async def sends_too_early(shop: Shop) -> None:
    await cut_while_it_waits(shop, lambda connection: connection.data_received(b"x" * (MAX_EARLY + 1)))


async def meets_a_stopping_server(shop: Shop) -> None:
    await cut_while_it_waits(shop, lambda connection: connection.shutdown())


async def meets_a_draining_server(shop: Shop) -> None:
    shop.inside.connector.draining = True
    assert (await refused(shop))[0] == 503


async def has_no_key(shop: Shop) -> None:
    assert (await refused(shop, headers={}))[0] == 401


async def has_a_wrong_key(shop: Shop) -> None:
    assert (await refused(shop, headers={"X-API-Key": "wrong"}))[0] == 403


async def is_unknown(shop: Shop) -> None:
    assert (await refused(shop, "/ws/hardware/99", {"X-API-Key": "wrong"}))[0] == 403


async def is_disabled(shop: Shop) -> None:
    await shop.inside.store.write(lambda tx: tx.connection.execute(update(carts).values(disabled=True)))
    assert (await refused(shop))[0] == 403


async def has_a_bad_boot_id(shop: Shop) -> None:
    assert (await refused(shop, headers=shop.cart_headers() | {"Cart-Boot-Id": "x" * 65}))[0] == 400


async def has_a_bad_id(shop: Shop) -> None:
    assert (await refused(shop, "/ws/hardware/x"))[0] == 400


async def asks_too_much(shop: Shop) -> None:
    assert (await refused(shop, headers=shop.cart_headers() | {"X-Long": "x" * MAX_ASKED}))[0] == 400


async def comes_too_often(shop: Shop) -> None:
    for _ in range(5):
        await raw(shop)
    assert (await refused(shop))[0] == 429


async def is_overtaken(shop: Shop) -> None:
    await raw(shop)
    current(shop).link.epoch = 99
    assert (await refused(shop))[0] == 503


@pytest.mark.parametrize(
    ("way", "why", "kept"),
    [
        (sends_too_early, Refused.TOO_EARLY, False),
        (meets_a_stopping_server, Refused.STOPPING, False),
        (meets_a_draining_server, Refused.STOPPING, False),
        (has_no_key, Refused.NO_KEY, True),
        (has_a_wrong_key, Refused.WRONG_KEY, True),
        (is_unknown, Refused.UNKNOWN_CART, False),
        (is_disabled, Refused.DISABLED, True),
        (has_a_bad_boot_id, Refused.BAD_REQUEST, True),
        (has_a_bad_id, Refused.BAD_REQUEST, False),
        (asks_too_much, Refused.BAD_REQUEST, True),
        (comes_too_often, Refused.TOO_OFTEN, True),
        (is_overtaken, Refused.OVERTAKEN, False),
    ],
)
async def test_f71_each_refusal_has_its_reason_in_the_log_and_those_of_a_cart_s_own_are_kept(
    shop: Shop, logged: Logged, way: Callable[[Shop], Awaitable[None]], why: Refused, kept: bool
) -> None:
    await way(shop)
    await until(lambda: of(logged, "cart refused"))
    assert [line["reason"] for line in of(logged, "cart refused")] == [why]
    await shop.sweep()
    found = await shop.inside.store.read(lambda connection: past_refusals(connection, 1))
    assert [(one.reason, one.times, one.address) for one in found] == ([(why, 1, "127.0.0.1")] if kept else [])


async def test_f71_what_is_no_handshake_is_refused_with_a_reason_too(shop: Shop, logged: Logged) -> None:
    answer = await shop.http.get("/ws/hardware/1", headers={"Connection": "Upgrade", "Upgrade": "websocket"})
    (line,) = of(logged, "socket refused")
    assert (line["status"], line["reason"]) == (answer.status_code, "bad_handshake")


async def test_f71_refusals_are_counted_in_one_row_for_each_reason(shop: Shop) -> None:
    for _ in range(3):
        await has_a_wrong_key(shop)
    await shop.sweep()
    shop.clock.move(60)
    await has_a_wrong_key(shop)
    await has_no_key(shop)
    await shop.sweep()
    found = await shop.inside.store.read(lambda connection: past_refusals(connection, 1))
    assert [(one.reason, one.times) for one in found] == [(Refused.NO_KEY, 1), (Refused.WRONG_KEY, 4)]
    assert {one.last_at for one in found} == {shop.clock.now()}


async def test_f71_refusals_of_every_cart_there_could_be_take_no_more_memory(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "REFUSALS_WAITING", 3)
    kept = shop.inside.connector.refusals
    for cart_id in range(1, 100):
        kept.add(cart_id, Refused.NO_KEY, None)
        kept.add(cart_id, Refused.UNKNOWN_CART, None)
    assert len(kept) == 3
    await shop.sweep()
    assert len(kept) == 0
    assert [tuple(row) for row in await shop.rows(select(refusals.c.cart_id, refusals.c.times))] == [(1, 1)]


async def test_f71_refusals_that_the_database_does_not_take_hold_nothing_up(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, logged: Logged
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise DATABASE_UNAVAILABLE()

    await has_no_key(shop)
    with monkeypatch.context() as patch:
        patch.setattr(shop.inside.store, "write", fail)
        await shop.inside.connector.refusals.write()
    assert len(of(logged, "refusals not counted")) == 1
    await shop.sweep()


async def test_f71_old_ends_and_refusals_are_forgotten_with_the_rest(shop: Shop) -> None:
    await has_no_key(shop)
    await shop.sweep()
    (await raw(shop)).end_of_stream()
    await shop.offline()
    await raw(shop)
    await until(lambda: not shop.inside.dispatch.background)
    for before, left in ((shop.clock.now(), (2, 1)), (shop.clock.now() + 1, (1, 0))):
        await shop.inside.store.write(lambda tx, before=before: forget_the_rest(tx, before))  # type: ignore[misc]
        counts = [await shop.rows(select(func.count()).select_from(table)) for table in (connections, refusals)]
        assert tuple(rows[0][0] for rows in counts) == left
    await cut_all(shop)


def test_f71_the_lists_are_closed_and_fit_their_columns() -> None:
    for reason in Ended:
        assert reason.words
        assert len(reason) <= 20
        assert reason.by in {"cart", "network", "server", "operator"}
    for why in Refused:
        assert why.status >= 400
        assert len(why) <= 20
