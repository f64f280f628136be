"""A cart on one node, its shopper and screens on another: with a bus, and with none to be reached."""

import asyncio

from sqlalchemy import update

from duckycart.lifecycle.access import ByOperator
from duckycart.lifecycle.sessions import force_end
from duckycart.store.tables import carts
from duckycart.store.transaction import Transaction
from duckycart.testing.cart import CartConnection
from duckycart.testing.furnish import MILK
from duckycart.testing.waiting import until
from tests.channels.world import message, screen, stream, warn
from tests.hardware.helpers import GENERATE_QR, raw, said
from tests.nodes.world import Chain


async def hears(chain: Chain, cart: CartConnection, *texts: str) -> None:
    """Soon, and nothing else ever."""
    await chain.soon(lambda: len(cart.texts) >= len(texts))
    assert cart.texts == list(texts)


async def test_a_command_committed_on_one_node_reaches_the_cart_on_another(chain: Chain) -> None:
    cart = await raw(chain.b)
    shopper = await chain.a.shopper()
    token = await chain.a.qr()
    await hears(chain, cart, GENERATE_QR)
    session_id = (await chain.a.scan(token, shopper)).json()["session_id"]
    await hears(chain, cart, GENERATE_QR, said("session_started", session_id))
    await chain.a.add(session_id)
    payment = (await chain.a.create_payment(session_id, shopper)).json()
    await hears(
        chain, cart, GENERATE_QR, said("session_started", session_id), said("payment_created", session_id)
    )  # fmt: skip
    assert (await chain.b.press(payment["payment_url"].replace(chain.a.url, chain.b.url))).status_code in (200, 303)
    await until(lambda: len(cart.texts) == 4)
    assert cart.texts[3] == said("end_session", session_id)
    assert await chain.a.settled() == ["received"] * 4


async def test_whoever_waits_sees_the_receipt_of_a_cart_on_another_node(chain: Chain) -> None:
    await raw(chain.b)
    answering = asyncio.create_task(
        chain.a.http.get("/customer-session/qr/1", headers={**chain.a.cart_headers(), "Prefer": "wait=5"})
    )
    await chain.soon(answering.done)
    assert (await answering).headers["Hardware-Delivery"] == "received"


async def test_f01_f02_the_newcomer_on_another_node_owns_the_cart_and_the_dead_link_changes_nothing(
    chain: Chain,
) -> None:
    dead = await raw(chain.a, answers=False)
    await chain.a.online()
    alive = await raw(chain.b)
    node = (await chain.a.cart_row()).link_node
    assert node.startswith("b/")
    await chain.soon(lambda: dead.closed)
    assert dead.closed is not None
    assert dead.closed[0] == 4409
    dead.cut()
    await until(lambda: not chain.a.inside.dispatch.links and not chain.a.inside.dispatch.background)
    assert (await chain.a.cart_row()).link_node == node
    await chain.a.qr()
    await hears(chain, alive, GENERATE_QR)


async def test_f30_the_late_receipt_of_a_link_that_was_taken_over_counts(chain: Chain) -> None:
    """It read `session_started`, answered, and was taken over before the answer came through."""
    shopper = await chain.a.shopper()
    old = await raw(chain.a, answers=False)
    session_id = await chain.a.start(shopper)
    await until(lambda: said("session_started", session_id) in old.texts)
    new = await raw(chain.b, answers=False)  # it is told again: nothing was heard of it
    await until(lambda: said("session_started", session_id) in new.texts)
    old.pong(old.pings[-1])
    await until(lambda: _received(chain))
    new.cut()
    third = await raw(chain.b)
    await chain.soon(lambda: len(chain.b.inside.dispatch.links) == 1)
    await chain.sweep()
    assert third.texts == []


async def _received(chain: Chain) -> bool:
    return (await chain.a.states())[-1] == "received"


async def test_what_screens_and_phones_hear_works_across_nodes(chain: Chain) -> None:
    await raw(chain.a)
    shopper = await chain.a.shopper()
    async with stream(chain.b, "/sse/1", chain.b.cart_headers()) as at_the_cart:
        await until(lambda: len(chain.b.inside.channels))
        session_id = await chain.a.start(shopper)
        await chain.soon(lambda: True)
        event = await at_the_cart.event()
        assert event is not None
        assert event[1]["session_id"] == session_id
    async with screen(chain.b, session_id, shopper) as listening:
        assert await listening.hears() == message("cart-updated")
        await chain.a.http.post(
            "/items/read", json={"sessionID": session_id, "barcode": MILK}, headers=chain.a.cart_headers()
        )
        if chain.hurried:  # of the moment, so nothing looks for it
            assert await listening.hears() == message("item-read", MILK)
        await chain.a.add(session_id, MILK)
        await warn(chain.a, session_id, "weight increased")
        await chain.soon(lambda: True)
        assert await listening.hears() == message("cart-updated", MILK if chain.hurried else 0)
        assert await listening.hears() == message("weight increased")
        payment = (await chain.a.create_payment(session_id, shopper)).json()
        await chain.soon(lambda: True)
        assert await listening.hears() == message("Payment created")
        await chain.a.press(payment["payment_url"])
        await chain.soon(lambda: True)
        assert await listening.hears() == message("Payment successful")


async def test_f39_an_end_by_force_on_one_node_is_heard_on_the_other(chain: Chain) -> None:
    await raw(chain.a)
    shopper = await chain.a.shopper()
    session_id = await chain.a.start(shopper)
    async with screen(chain.b, session_id, shopper) as listening:
        assert await listening.hears() == message("cart-updated")
        await chain.a.inside.store.write(lambda tx: force_end(tx, ByOperator(0), session_id, chain.a.inside.rules))
        await chain.soon(lambda: True)
        assert await listening.hears() == message("cart-updated")
        chain.b.clock.move(61)
        chain.b.inside.channels.tick()
        assert await listening.code() == 1000


async def test_a_withdrawn_key_closes_the_socket_on_whichever_node(chain: Chain) -> None:
    cart = await raw(chain.b)

    def withdraw(tx: Transaction) -> None:
        changes = {"key_hash": b"other", "link_epoch": carts.c.link_epoch + 1, "link_node": None}
        tx.connection.execute(update(carts).values(**changes, link_changed_at=tx.now))

    await chain.a.inside.store.write(withdraw)
    await chain.sweep()
    await until(lambda: cart.closed)
    assert cart.closed is not None
    assert cart.closed[0] == 1008


async def test_f41_a_late_handshake_of_the_boot_before_on_another_node_is_no_reboot(chain: Chain) -> None:
    shopper = await chain.a.shopper()
    cart = await raw(chain.a, boot="B2")
    session_id = await chain.a.start(shopper)
    await chain.a.settled()
    late = await raw(chain.b, boot="B1")  # somebody answers its pings
    await chain.soon(lambda: cart.closed)
    await chain.b.add(session_id)
    await chain.a.create_payment(session_id, shopper)
    await hears(chain, late, said("session_started", session_id), said("payment_created", session_id))
    await chain.a.settled()
    back = await raw(chain.a, boot="B2")
    await hears(chain, back, said("payment_created", session_id))
    assert await chain.a.settled() == ["received"] * 3
    await chain.soon(lambda: late.closed)
    again = await raw(chain.b, boot="B2")
    await chain.sweep()
    assert again.texts == []


async def test_f42_a_late_call_through_another_node_is_no_receipt_of_the_boot_that_has_the_cart(chain: Chain) -> None:
    shopper = await chain.a.shopper()
    await raw(chain.a, boot="B1")
    session_id = await chain.a.start(shopper)
    await chain.a.settled()
    unread = await raw(chain.b, boot="B2", answers=False)
    await hears(chain, unread, said("session_started", session_id))
    assert (await chain.a.add(session_id)).status_code == 200
    assert (await chain.a.states())[1] != "received"
    again = await raw(chain.a, boot="B2", answers=False)
    await hears(chain, again, said("session_started", session_id))
    body = {"sessionID": session_id, "barcode": 1}
    headers = {**chain.b.cart_headers(), "Cart-Boot-Id": "B2"}
    assert (await chain.b.http.post("/cart-items/add", json=body, headers=headers)).status_code == 404  # F43
    assert (await chain.a.states())[1] == "received"
    last = await raw(chain.b, boot="B2")
    await chain.sweep()
    assert last.texts == []


async def test_f11_two_phones_on_one_qr_through_two_nodes(chain: Chain) -> None:
    cart = await raw(chain.b)
    shoppers = [await chain.a.shopper(f"{number}@example.com") for number in range(2)]
    for round_ in range(100):
        chain.move(5)  # shoppers' scans are limited by the minute
        token = await chain.a.qr()
        answers = await asyncio.gather(chain.a.scan(token, shoppers[0]), chain.b.scan(token, shoppers[1]))
        assert sorted(answer.status_code for answer in answers) == [200, 409], round_
        (session,) = [answer.json() for answer in answers if answer.status_code == 200]
        await chain.b.inside.store.write(
            lambda tx, number=session["session_id"]: force_end(tx, ByOperator(0), number, chain.b.inside.rules)  # type: ignore[misc]
        )
    await chain.soon(lambda: True)
    await chain.a.settled()
    assert len([text for text in cart.texts if "session_started" in text]) <= 100
    assert len([text for text in cart.texts if "end_session" in text]) == 100
