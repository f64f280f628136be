"""The bus only hurries things: the sweep alone delivers everything and closes what was taken over (F28)."""

import random

import pytest
from sqlalchemy import update

from duckycart.effects import Queued
from duckycart.hardware import dispatch
from duckycart.refusals import DATABASE_UNAVAILABLE
from duckycart.store.tables import carts, commands
from duckycart.store.transaction import Transaction
from duckycart.testing.cart import CartConnection
from duckycart.testing.waiting import until
from tests.hardware.helpers import GENERATE_QR, end_by_force, heard, raw, refused, rotate_key, said
from tests.world import Shop


async def swept(shop: Shop, cart: CartConnection, *texts: str) -> None:
    await shop.sweep()
    await heard(cart, *texts)


async def test_f28_with_every_hint_lost_the_sweep_delivers_all_in_order(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shop.inside.dispatch, "queued", lambda effect: None)
    shopper = await shop.shopper()
    cart = await raw(shop)
    session_id = await shop.start(shopper)
    assert cart.texts == []
    await swept(shop, cart, said("session_started", session_id))
    await end_by_force(shop, session_id)
    await shop.qr()
    await swept(shop, cart, said("session_started", session_id), said("end_session", session_id), GENERATE_QR)
    assert await shop.settled() == ["superseded", "received", "received", "received"]


async def test_f28_hints_lost_doubled_and_out_of_order(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    dispatch = shop.inside.dispatch
    really, dice = dispatch.queued, random.Random(28)
    kept: list[Queued] = []

    def unreliable(effect: Queued) -> None:
        kept.append(effect)
        dice.shuffle(kept)
        for _ in range(dice.randrange(3)):
            really(dice.choice(kept))

    monkeypatch.setattr(dispatch, "queued", unreliable)
    shopper = await shop.shopper()
    cart = await raw(shop)
    expected = []
    for _ in range(10):
        session_id = await shop.start(shopper)
        await end_by_force(shop, session_id)
        expected += [said("session_started", session_id), said("end_session", session_id)]
    await until(lambda: not dispatch.background)
    await shop.sweep()
    await until(lambda: cart.texts[-1:] == expected[-1:])
    states = await shop.settled()
    delivered = [
        GENERATE_QR if kind == "generate_qr" else said(kind, session_id or 0)
        for (_, kind, session_id, _), state in zip(await shop.commands(), states, strict=True)
        if state == "received"
    ]
    assert cart.texts == delivered
    ends = [text for text in cart.texts if "end_session" in text]
    assert ends == expected[1::2]


@pytest.mark.parametrize("disabled", [False, True])
async def test_a_withdrawn_key_closes_the_socket_within_a_sweep(shop: Shop, disabled: bool) -> None:
    cart = await raw(shop)
    await shop.sweep()
    assert len(shop.inside.dispatch.links) == 1
    await rotate_key(shop, "another", disabled=disabled)
    await shop.sweep()
    await until(lambda: cart.closed)
    assert cart.closed is not None
    assert cart.closed[0] == 1008
    assert (await refused(shop))[0] == 403
    assert (await refused(shop, headers={"X-API-Key": "another"}))[0] == 403 if disabled else True


async def test_a_cart_that_another_node_took_over_is_closed_within_a_sweep(shop: Shop) -> None:
    cart = await raw(shop)

    def elsewhere(tx: Transaction) -> None:
        tx.connection.execute(
            update(carts).values(link_epoch=carts.c.link_epoch + 1, link_node="elsewhere", link_changed_at=tx.now)
        )

    await shop.inside.store.write(elsewhere)
    await shop.sweep()
    await until(lambda: cart.closed)
    assert cart.closed == (4409, "a newer connection of this cart took over")
    await until(lambda: not shop.inside.dispatch.links)
    await until(lambda: not shop.inside.dispatch.background)
    assert (await shop.cart_row()).link_node == "elsewhere"


async def test_a_gap_shows_a_link_that_it_was_taken_over(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    cart = await raw(shop)
    await shop.inside.store.write(
        lambda tx: tx.connection.execute(update(carts).values(link_epoch=carts.c.link_epoch + 1))
    )
    current = shop.inside.dispatch.links.current(1)
    assert current is not None
    current.behind(7)
    await until(lambda: cart.closed)
    assert cart.closed is not None
    assert cart.closed[0] == 4409


@pytest.mark.parametrize("jump", [-7200, 7200])
async def test_a_clock_that_was_set_hides_nothing_from_the_sweep(shop: Shop, jump: int) -> None:
    cart = await raw(shop)
    await shop.sweep()
    shop.clock._now += jump * 1000
    await rotate_key(shop, "another")
    shop.clock._now += 1000
    await shop.sweep()
    await until(lambda: cart.closed)


async def test_the_sweep_leaves_alone_what_is_in_order(shop: Shop) -> None:
    cart = await raw(shop, answers=False)
    await shop.qr()
    await heard(cart, GENERATE_QR)
    for _ in range(3):
        await shop.sweep()
    await until(lambda: not shop.inside.dispatch.background)
    assert cart.texts == [GENERATE_QR]
    assert len(cart.pings) == 1


@pytest.mark.parametrize("error", [DATABASE_UNAVAILABLE(), KeyError("a bug")])
async def test_a_gap_that_could_not_be_read_leaves_no_link_deaf(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    dispatch = shop.inside.dispatch
    cart = await raw(shop)

    def fails(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(dispatch, "queued", lambda effect: None)
        await shop.qr()
        patch.setattr("duckycart.hardware.dispatch.fill", fails)
        await shop.sweep()
        await until(lambda: not dispatch.background)
        assert cart.texts == []
    await swept(shop, cart, GENERATE_QR)


async def test_f28_what_could_not_be_read_is_read_again_though_its_row_says_sent(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older link had it in its hands, so no look at the rows finds it."""
    hardware = shop.inside.dispatch
    cart = await raw(shop)
    with monkeypatch.context() as patch:
        patch.setattr(hardware, "queued", lambda effect: None)
        await shop.qr()
    await shop.inside.store.write(
        lambda tx: tx.connection.execute(update(commands).values(state="sent", sent_at=tx.now))
    )
    connection = hardware.links.current(1)
    assert connection is not None

    def fail(*_: object) -> None:
        raise DATABASE_UNAVAILABLE()

    with monkeypatch.context() as patch:
        patch.setattr(dispatch, "fill", fail)
        connection.behind(1)
        await until(lambda: not hardware.background)
        await shop.sweep()
        await until(lambda: not hardware.background)
    assert cart.texts == []
    await swept(shop, cart, GENERATE_QR)
    assert await shop.settled() == ["received"]
