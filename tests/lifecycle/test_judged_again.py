"""A fact that came late is compared again before it is acted on: with the state, the session, the round, the epoch, the
beats as they are now, under the cart's lock."""

from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar, cast

import pytest
from sqlalchemy import insert, select, update

from duckycart.bus.messages import TakenOver
from duckycart.effects import News
from duckycart.errors import Conflict, Gone
from duckycart.hardware.catchup import fill
from duckycart.hardware.link import Link
from duckycart.hardware.links import Connection
from duckycart.hardware.ownership import Claim, claim_many, give_up, take_back
from duckycart.hardware.receipts import OfBoot, Pending, Times, _write_rows
from duckycart.lifecycle.access import ByOperator
from duckycart.lifecycle.carts import lock_cart
from duckycart.lifecycle.payments import (
    close_payment,
    create_payment,
    decline_payment,
    fail_payment,
    keep_ref,
    open_payment,
    settle_payment,
)
from duckycart.lifecycle.sessions import create_session, end_if_idle, force_end
from duckycart.providers.protocol import OpenedPayment
from duckycart.store.tables import basket_lines, carts, commands, nodes, payments, products
from duckycart.store.transaction import Transaction
from duckycart.testing.furnish import MILK
from tests.conftest import OpenShop
from tests.world import Shop

T = TypeVar("T")
OPERATOR = ByOperator(0)


@pytest.fixture
async def shop(opening: OpenShop) -> AsyncIterator[Shop]:
    async with opening(offline_carts="accept") as shop:
        await shop.furnish()
        yield shop


async def told(shop: Shop, work: Callable[[Transaction], T]) -> tuple[T, list[News]]:
    """What the transition returned, and what screens would hear of it."""
    heard: list[News] = []

    def watched(tx: Transaction) -> T:
        result = work(tx)
        heard[:] = [effect for effect in tx.effects if isinstance(effect, News)]
        return result

    return await shop.inside.store.write(watched), heard


async def paying(shop: Shop, email: str = "mona@example.com", *, opened: bool = True) -> tuple[int, int]:
    """A session with a milk, and its payment: open, or still being created."""
    session_id = await shop.start(await shop.shopper(email))
    assert (await shop.add(session_id)).status_code == 200
    rules = shop.inside.rules
    payment = await shop.inside.store.write(lambda tx: create_payment(tx, OPERATOR, session_id, "sandbox", None, rules))
    if opened:
        await shop.inside.store.write(lambda tx: open_payment(tx, payment.id, OpenedPayment(f"ref-{payment.id}", "u")))
    return session_id, payment.id


async def next_session(shop: Shop, session_id: int) -> int:
    """The session was ended by force, and another shopper has the cart."""
    await shop.inside.store.write(lambda tx: force_end(tx, OPERATOR, session_id, shop.inside.rules))
    return await shop.start(await shop.shopper("omar@example.com"))


async def payment(shop: Shop, payment_id: int) -> Any:
    return (await shop.rows(select(payments).where(payments.c.id == payment_id)))[0]


async def set_state(shop: Shop, payment_id: int, state: str) -> None:
    await shop.inside.store.write(
        lambda tx: tx.connection.execute(update(payments).where(payments.c.id == payment_id).values(state=state))
    )


@pytest.mark.parametrize("state", ["open", "paid", "cancelled", "paid_extra"])
async def test_a_late_answer_of_the_provider_renames_no_payment_that_has_gone_on(shop: Shop, state: str) -> None:
    _, payment_id = await paying(shop)
    await set_state(shop, payment_id, state)
    await shop.inside.store.write(lambda tx: keep_ref(tx, payment_id, "another"))
    row = await payment(shop, payment_id)
    assert (row.state, row.provider_ref) == (state, f"ref-{payment_id}")


@pytest.mark.parametrize("state", ["paid", "cancelled", "failed", "paid_extra"])
async def test_a_decline_of_a_payment_that_is_over_is_told_nobody(shop: Shop, state: str) -> None:
    session_id, payment_id = await paying(shop)
    await set_state(shop, payment_id, state)
    version = (await shop.session_row(session_id)).version
    assert await told(shop, lambda tx: decline_payment(tx, payment_id)) == ("ignored", [])
    assert (await shop.session_row(session_id)).version == version


@pytest.mark.parametrize("opened", [True, False])
async def test_f37_the_end_of_an_earlier_session_s_payment_is_told_nobody(shop: Shop, opened: bool) -> None:
    """Neither those who listen to the next one, nor as news of a session that has had its last word."""
    session_id, payment_id = await paying(shop, opened=opened)
    later = await next_session(shop, session_id)
    versions = [(await shop.session_row(number)).version for number in (session_id, later)]
    _, heard = await told(shop, lambda tx: close_payment(tx, payment_id))
    assert heard == []
    assert (await payment(shop, payment_id)).state == "cancelled"
    assert [(await shop.session_row(number)).version for number in (session_id, later)] == versions


@pytest.mark.parametrize("state", ["paid", "cancelled", "paid_extra"])
async def test_f37_a_late_end_changes_no_payment_that_is_over(shop: Shop, state: str) -> None:
    _, payment_id = await paying(shop)
    await set_state(shop, payment_id, state)
    for late in (close_payment, fail_payment):
        assert (await told(shop, lambda tx, late=late: late(tx, payment_id)))[1] == []  # type: ignore[misc]
        assert (await payment(shop, payment_id)).state == state


async def test_f37_a_refusal_that_came_late_closes_no_payment_that_another_call_opened(shop: Shop) -> None:
    _, payment_id = await paying(shop)
    await shop.inside.store.write(lambda tx: fail_payment(tx, payment_id))
    assert (await payment(shop, payment_id)).state == "open"


@pytest.mark.parametrize("state", ["failed", "cancelled"])
async def test_f37_what_failed_meanwhile_is_not_opened(shop: Shop, state: str) -> None:
    _, payment_id = await paying(shop, opened=False)
    await set_state(shop, payment_id, state)
    with pytest.raises(Conflict):
        await shop.inside.store.write(lambda tx: open_payment(tx, payment_id, OpenedPayment("r", "u")))
    assert (await payment(shop, payment_id)).state == state


async def test_f37_what_is_opened_late_holds_no_later_session(shop: Shop) -> None:
    """Not even while that one's own payment is being created, and its cart waits for one."""
    session_id, payment_id = await paying(shop, opened=False)
    later = await next_session(shop, session_id)
    assert (await shop.add(later)).status_code == 200
    rules = shop.inside.rules
    await shop.inside.store.write(lambda tx: create_payment(tx, OPERATOR, later, "sandbox", None, rules))
    with pytest.raises(Conflict):
        await shop.inside.store.write(lambda tx: open_payment(tx, payment_id, OpenedPayment("r", "u")))
    assert (await shop.session_row(later)).held_at is None
    assert "payment_created" not in [command[1] for command in await shop.commands()]


async def test_f37_a_late_success_ends_no_later_session(shop: Shop) -> None:
    session_id, payment_id = await paying(shop)
    later = await next_session(shop, session_id)
    row = await payment(shop, payment_id)
    rules = shop.inside.rules
    outcome, _ = await told(shop, lambda tx: settle_payment(tx, payment_id, row.amount, row.currency, rules))
    assert outcome == "paid_extra"
    assert (await shop.session_row(later)).is_active


async def test_f37_a_late_success_of_a_closed_payment_settles_no_other_amount(shop: Shop) -> None:
    session_id, payment_id = await paying(shop)
    await set_state(shop, payment_id, "cancelled")

    def one_more(tx: Transaction) -> None:
        milk = tx.connection.execute(select(products.c.id).where(products.c.barcode == str(MILK))).scalar_one()
        tx.connection.execute(update(basket_lines).where(basket_lines.c.product_id == milk).values(quantity=2))

    await shop.inside.store.write(one_more)
    row = await payment(shop, payment_id)
    rules = shop.inside.rules
    outcome, _ = await told(shop, lambda tx: settle_payment(tx, payment_id, row.amount, row.currency, rules))
    assert (outcome, (await shop.session_row(session_id)).is_active) == ("paid_extra", True)


# Sessions


async def test_an_operator_s_late_click_ends_no_later_session(shop: Shop) -> None:
    first = await shop.start(await shop.shopper())
    later = await next_session(shop, first)
    with pytest.raises(Conflict):
        await shop.inside.store.write(lambda tx: force_end(tx, OPERATOR, first, shop.inside.rules))
    assert (await shop.session_row(later)).is_active


async def test_f40_idle_is_judged_again_of_this_session_and_of_now(shop: Shop) -> None:
    first = await shop.start(await shop.shopper())
    rules = shop.inside.rules

    async def judged(session_id: int) -> bool:
        return await shop.inside.store.write(lambda tx: end_if_idle(tx, session_id, 1, rules)) is not None

    later = await next_session(shop, first)
    shop.clock.move(rules.idle_seconds + 1)
    assert not await judged(first)
    assert (await shop.session_row(later)).is_active
    assert (await shop.add(later)).status_code == 200  # the shopper came back
    assert (await shop.remove(later)).status_code == 200
    assert not await judged(later)
    shop.clock.move(rules.idle_seconds + 1)
    assert await judged(later)


async def test_f40_two_nodes_that_find_a_full_basket_idle_report_it_once(shop: Shop) -> None:
    session_id = await shop.start(await shop.shopper())
    await shop.add(session_id)
    rules = shop.inside.rules
    shop.clock.move(rules.idle_seconds + 1)
    for _ in range(2):
        await shop.inside.store.write(lambda tx: end_if_idle(tx, session_id, 1, rules))
    assert await shop.alarm_kinds() == ["session_idle"]


async def test_f12_another_round_s_qr_is_no_repetition_of_a_scan(shop: Shop) -> None:
    shopper = await shop.add_user("mona@example.com")
    await shop.qr()
    rules, later = shop.inside.rules, shop.inside.store.clock.steady() + 10**6
    started = await shop.inside.store.write(lambda tx: create_session(tx, 1, 1, later, shopper, rules))
    again = await shop.inside.store.write(lambda tx: create_session(tx, 1, 1, later, shopper, rules))
    assert again.session.id == started.session.id
    with pytest.raises((Conflict, Gone)):
        await shop.inside.store.write(lambda tx: create_session(tx, 1, 2, later, shopper, rules))


# Links and nodes


async def claimed(shop: Shop, node: str) -> None:
    await shop.inside.store.write(lambda tx: claim_many(tx, [Claim(1, None, None)], node))


async def owner(shop: Shop) -> tuple[int, str | None]:
    row = await shop.cart_row()
    return row.link_epoch, row.link_node


async def add_nodes(shop: Shop, **beats: int) -> None:
    rows = [{"id": name, "beats": beat, "links": 0, "started_at": 0, "seen_at": 0} for name, beat in beats.items()]
    await shop.inside.store.write(lambda tx: tx.connection.execute(insert(nodes), rows))


async def test_a_node_that_has_beaten_meanwhile_is_not_given_up(shop: Shop) -> None:
    await add_nodes(shop, here=1, there=7)
    await claimed(shop, "there")
    assert await shop.inside.store.write(lambda tx: give_up(tx, "there", 6)) is None
    assert await owner(shop) == (1, "there")
    assert sorted(row.id for row in await shop.rows(select(nodes.c.id))) == ["here", "there"]
    assert await shop.inside.store.write(lambda tx: give_up(tx, "there", 7)) == 1
    assert await owner(shop) == (1, None)


async def test_f01_a_link_is_taken_back_only_as_it_was_given_up(shop: Shop) -> None:
    await add_nodes(shop, here=1, there=1)
    await claimed(shop, "there")
    await shop.inside.store.write(lambda tx: take_back(tx, {1: 1}, "here"))
    assert await owner(shop) == (1, "there")  # it is somebody's
    await shop.inside.store.write(lambda tx: tx.connection.execute(update(carts).values(link_node=None)))
    await shop.inside.store.write(lambda tx: take_back(tx, {1: 2}, "here"))
    assert await owner(shop) == (1, None)  # of another epoch
    await shop.inside.store.write(lambda tx: take_back(tx, {1: 1}, "gone"))
    assert await owner(shop) == (1, None)  # nor for a node that has left
    await shop.inside.store.write(lambda tx: take_back(tx, {1: 1}, "here"))
    assert await owner(shop) == (1, "here")


async def test_f02_a_gap_is_filled_for_the_present_link_alone(shop: Shop) -> None:
    await claimed(shop, "here")
    await shop.qr()
    await claimed(shop, "there")
    assert await shop.inside.store.write(lambda tx: fill(tx, 1, 1, 0)) is None
    assert await shop.inside.store.write(lambda tx: fill(tx, 1, 2, 0)) is not None


class Connected:
    """A connection of cart 1 as the registry sees it, and how it was closed."""

    bucket = -1
    gone = False

    def __init__(self, epoch: int) -> None:
        self.link = Link(1, 0.0)
        self.link.claimed(epoch, 0)
        self.closed: list[object] = []

    def close(self, why: object) -> None:
        self.closed.append(why)


@pytest.mark.parametrize(("epoch", "closes"), [(1, False), (2, False), (3, True)])
async def test_f01_late_word_of_a_take_over_closes_no_newer_link(shop: Shop, epoch: int, closes: bool) -> None:
    link = Connected(2)
    connector = shop.inside.connector
    connector.links.take(cast(Connection, link))
    connector.taken_over(TakenOver(1, epoch))
    assert bool(link.closed) == closes
    connector.links.remove(cast(Connection, link))


async def test_a_sweep_between_a_claim_and_its_answer_releases_nothing(shop: Shop) -> None:
    dispatch = shop.inside.dispatch
    link = cast(Connection, Connected(1))
    dispatch.links.claiming(link)
    await claimed(shop, dispatch.node)
    await shop.sweep()
    while dispatch.background:
        await dispatch.receipts.finish()
        await shop.inside.store.read(lambda _: None)
    assert await owner(shop) == (1, dispatch.node)
    dispatch.links.unclaim(link)
    await shop.sweep()
    await shop.offline()


async def test_f29_a_late_receipt_makes_nothing_received_that_is_void(shop: Shop) -> None:
    await shop.qr()
    cart = await shop.inside.store.write(lambda tx: lock_cart(tx, 1))
    await shop.inside.store.write(lambda tx: tx.connection.execute(update(commands).values(state="superseded")))
    heard: Pending = {OfBoot(1, 1, cart.boot_generation): Times(5, 6)}
    await shop.inside.store.write(lambda tx: _write_rows(tx, heard))
    assert await shop.states() == ["superseded"]
    await shop.inside.store.write(lambda tx: tx.connection.execute(update(commands).values(state="received")))
    await shop.inside.store.write(lambda tx: _write_rows(tx, {OfBoot(1, 1, cart.boot_generation): Times(5, None)}))
    assert await shop.states() == ["received"]
