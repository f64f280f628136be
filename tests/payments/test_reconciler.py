"""What was left open: each payment has its turn, whatever becomes of the others and however slow the provider is."""

import asyncio

from sqlalchemy import insert, select, update

from duckycart.payments.checkout import AT_ONCE, ROUND_SECONDS
from duckycart.store.tables import idempotency_keys, payments, sessions
from duckycart.store.transaction import Transaction
from duckycart.testing.waiting import until
from tests.payments.acquirer import MILK_PRICE, Acquirer
from tests.world import Shop


async def left_open(shop: Shop, acquirer: Acquirer, count: int) -> list[str]:
    """So many payments whose sessions are over, open at the acquirer; their names there, in order."""
    user_id = await shop.add_user("gone@example.com")

    def leave(tx: Transaction) -> list[str]:
        over = insert(sessions).values(
            cart_id=1,
            user_id=user_id,
            qr_round=1,
            is_active=False,
            created_at=tx.now,
            touched_at=tx.now,
            ended_at=tx.now,
            end_reason="forced",
            version=1,
        )
        names = [f"acq-{number}" for number in range(count)]
        for name in names:
            of_session = tx.connection.execute(over.returning(sessions.c.id)).scalar_one()
            payment = {"session_id": of_session, "provider": "acquirer", "token": name, "provider_ref": name}
            money = {"amount": MILK_PRICE, "currency": "EGP"}
            tx.connection.execute(insert(payments).values(**payment, **money, state="open", created_at=tx.now))
        return names

    names = await shop.inside.store.write(leave)
    acquirer.payments.update(dict.fromkeys(names, "open"))
    return names


async def states(shop: Shop) -> list[str]:
    return [row.state for row in await shop.rows(select(payments.c.state).order_by(payments.c.id))]


async def open_again(shop: Shop, name: str) -> None:
    def change(tx: Transaction) -> None:
        tx.connection.execute(update(payments).where(payments.c.provider_ref == name).values(state="open"))

    await shop.inside.store.write(change)


async def test_a_payment_that_breaks_the_providers_code_stops_neither_the_others_nor_the_housekeeping(
    shop: Shop, acquirer: Acquirer, shopper: dict[str, str]
) -> None:
    first, *_ = await left_open(shop, acquirer, 3)
    del acquirer.payments[first]  # a KeyError
    await shop.start({**shopper, "Idempotency-Key": "one"})
    assert len(await shop.rows(select(idempotency_keys))) == 1
    shop.clock.move(24 * 3600 + 1)
    await shop.housekeeping()
    assert await states(shop) == ["open", "cancelled", "cancelled"]
    assert await shop.rows(select(idempotency_keys)) == []


async def test_those_that_stay_open_keep_nobody_behind_them_from_their_turn(shop: Shop, acquirer: Acquirer) -> None:
    *paid, last = await left_open(shop, acquirer, 201)
    acquirer.payments.update(dict.fromkeys(paid, "paid"))  # their webhooks are still on the way
    await shop.housekeeping()
    assert acquirer.payments[last] == "cancelled"
    assert (await states(shop))[-1] == "cancelled"


async def test_f15_a_provider_that_hangs_does_not_hold_up_the_housekeeping_for_one_payment_after_the_other(
    shop: Shop, acquirer: Acquirer
) -> None:
    names = await left_open(shop, acquirer, AT_ONCE + 1)
    acquirer.answering.clear()
    rounds = asyncio.create_task(shop.housekeeping())
    await until(lambda: len(acquirer.calls) == AT_ONCE)
    shop.clock.move(ROUND_SECONDS)
    acquirer.answering.set()
    await rounds
    assert len(acquirer.calls) == AT_ONCE, "the round began no more of them"
    assert acquirer.payments[names[-1]] == "open"
    await open_again(shop, names[0])
    await shop.housekeeping()
    assert acquirer.calls[AT_ONCE:] == ["cancel"], "the next one goes on where it stopped"
    assert acquirer.payments[names[-1]] == "cancelled"
    assert (await states(shop))[0] == "open"
    await shop.housekeeping()
    assert set(await states(shop)) == {"cancelled"}, "and then from the beginning"


async def test_f15_idle_sessions_end_while_the_provider_hangs(
    shop: Shop, acquirer: Acquirer, shopper: dict[str, str]
) -> None:
    await left_open(shop, acquirer, 1)
    session_id = await shop.start({**shopper, "Idempotency-Key": "one"})
    shop.clock.move(24 * 3600 + 1)
    acquirer.answering.clear()
    cleaning = asyncio.create_task(shop.housekeeping())
    await until(lambda: acquirer.calls)
    assert not (await shop.session_row(session_id)).is_active
    assert await shop.rows(select(idempotency_keys)) == []
    acquirer.answering.set()
    await cleaning
