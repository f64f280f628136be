"""What is forgotten goes by the calendar, which may be wrong: nothing goes that is still in use (F50)."""

from sqlalchemy import select

from duckycart.lifecycle.retention import forget_sessions, forget_the_rest
from duckycart.store.tables import idempotency_keys
from tests.conftest import OpenShop
from tests.corrections.world import YEARS, guest, here, keyed_add, units
from tests.world import Shop

DAY = 86_400


async def prune(shop: Shop, days: int = 90) -> None:
    before = shop.clock.now() - days * DAY * 1000
    await shop.inside.store.write(lambda tx: forget_sessions(tx, before))
    await shop.inside.store.write(lambda tx: forget_the_rest(tx, before))


async def test_f50_a_clock_that_ran_ahead_forgets_nothing_that_is_in_use(opening: OpenShop) -> None:
    async with opening(offline_carts="accept") as shop:
        await shop.furnish()
        await shop.add_cart(2)
        headers, session_id = await guest(shop)
        async with shop.cart():  # it hears of the end, or nothing of the session may be forgotten yet
            await shop.online()
            await keyed_add(shop, session_id)
            payment = (await shop.create_payment(session_id, headers)).json()
            await shop.press(here(shop, payment["payment_url"]))
            await shop.settled()
        qr = await shop.qr(2)
        signed_in = (await shop.http.post("/auth/guest", json={"token": qr})).json()

        shop.clock.correct(10 * YEARS)
        await prune(shop)
        assert await units(shop, session_id, headers) == 2
        assert len(await shop.rows(select(idempotency_keys))) == 1
        newcomer = {"Authorization": f"Bearer {signed_in['access_token']}"}
        assert (await shop.scan(qr, newcomer)).status_code == 200

        shop.clock.move(DAY + 1)
        await prune(shop)
        assert await shop.rows(select(idempotency_keys)) == []
        assert await units(shop, session_id, headers) is None
