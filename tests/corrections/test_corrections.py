"""A clock is set, forward or back, by minutes or by years, while the server runs or between two runs (F50, F51).

Nothing that is open ends by it, nothing lives longer than its time after it, nobody is locked out.
"""

from duckycart.lifecycle.access import GUEST_SECONDS, SCREEN_SECONDS
from duckycart.lifecycle.idempotency import KEEP_SECONDS
from duckycart.lifecycle.news import GRACE_SECONDS
from duckycart.testing.clock import ManualClock
from duckycart.testing.furnish import BREAD, MILK, TEA
from duckycart.tokens import ACCESS_SECONDS
from tests.api.doors import sandbox
from tests.api.test_screen_key import cookie
from tests.channels.world import refusal, screen
from tests.conftest import OpenShop
from tests.corrections.world import (
    HOURS,
    YEARS,
    Set,
    guest,
    here,
    keyed_add,
    screen_token,
    settle,
    units,
)


async def test_f51_a_guest_with_a_full_basket_goes_on_shopping_and_pays(corrected: Set) -> None:
    headers, session_id = await guest(corrected.shop)
    shop = await corrected()
    assert await units(shop, session_id, headers) == 1
    assert (await shop.add(session_id, BREAD)).status_code == 200
    payment = (await shop.create_payment(session_id, headers)).json()
    await corrected()
    shop = corrected.shop
    assert [row.state for row in await shop.payment_rows(session_id)] == ["open"]
    assert (await shop.create_payment(session_id, headers)).json()["payment_id"] == payment["payment_id"]
    await shop.press(here(shop, payment["payment_url"]))
    assert [row.state for row in await shop.payment_rows(session_id)] == ["paid"]
    row = await shop.session_row(session_id)
    assert (row.is_active, row.end_reason) == (False, "paid")
    assert await shop.alarm_kinds() == []


async def test_f51_nothing_that_is_open_ends_and_nobody_is_locked_out(corrected: Set) -> None:
    shop = corrected.shop
    mona, omar = await shop.shopper(), await shop.shopper("omar@example.com")
    session_id = await shop.start(mona)
    of_screen = screen_token(shop, session_id)
    first = await keyed_add(shop, session_id)
    qr = await shop.qr(2)
    of_cart_3 = await cookie(shop, 3)

    shop = await corrected()
    assert (await shop.session_row(session_id)).is_active
    assert await units(shop, session_id, mona) == 1
    assert await units(shop, session_id, of_screen) == 1
    assert (await keyed_add(shop, session_id)).json() == first.json()
    assert await units(shop, session_id, mona) == 1, "done twice"
    assert (await shop.scan(qr, omar)).status_code == 200
    assert (await shop.http.get("/customer-session/qr/3", headers=of_cart_3)).status_code == 200


async def test_f50_a_qr_lives_for_its_time_and_no_longer(corrected: Set) -> None:
    shop = corrected.shop
    mona = await shop.shopper()
    qr = await shop.qr()
    shop = await corrected()
    await corrected.passes(shop.inside.settings.qr_seconds - 1)
    assert (await shop.http.post("/auth/guest", json={"token": qr})).status_code == 200
    await corrected.passes(1)
    answer = await shop.scan(qr, mona)
    assert (answer.status_code, answer.json()["code"]) == (410, "qr_expired")
    assert (await shop.http.post("/auth/guest", json={"token": qr})).status_code == 410
    assert (await shop.scan(await shop.qr(), mona)).status_code == 200


async def test_f50_sessions_go_idle_after_their_time(corrected: Set) -> None:
    empty = await corrected.shop.start(await corrected.shop.shopper())
    _, full = await guest(corrected.shop, 2)
    shop = await corrected()
    await corrected.passes(shop.inside.settings.idle_seconds)
    assert (await shop.session_row(empty)).is_active
    await corrected.passes(1)
    assert (await shop.session_row(empty)).end_reason == "idle"
    assert (await shop.session_row(full)).is_active
    assert await shop.alarm_kinds() == ["session_idle"]


async def test_f50_payments_expire_after_their_time(corrected: Set) -> None:
    headers, session_id = await guest(corrected.shop)
    await corrected.shop.create_payment(session_id, headers)
    shop = await corrected()
    await corrected.passes(shop.inside.settings.payment_seconds)
    assert [row.state for row in await shop.payment_rows(session_id)] == ["open"]
    await corrected.passes(1)
    assert [row.state for row in await shop.payment_rows(session_id)] == ["cancelled"]


async def test_f50_a_shoppers_token_and_an_idempotency_key_last_for_their_time(corrected: Set) -> None:
    mona = await corrected.shop.shopper()
    session_id = await corrected.shop.start(mona)
    await keyed_add(corrected.shop, session_id)
    shop = await corrected()
    await corrected.passes(ACCESS_SECONDS - 1)
    assert await units(shop, session_id, mona) == 1
    await corrected.passes(1)
    assert await units(shop, session_id, mona) is None
    await corrected.passes(KEEP_SECONDS - ACCESS_SECONDS - 1)
    assert (await keyed_add(shop, session_id)).json()["quantity"] == 1
    await corrected.passes(1)
    assert (await keyed_add(shop, session_id)).json()["quantity"] == 2


async def test_f51_what_bounds_a_guests_token_is_its_session(corrected: Set) -> None:
    headers, session_id = await guest(corrected.shop)
    shop = await corrected()
    for _ in range(3):
        await corrected.passes(ACCESS_SECONDS)
        assert await units(shop, session_id, headers) == 1
    payment = (await shop.create_payment(session_id, headers)).json()
    await shop.press(here(shop, payment["payment_url"]))
    shop = await corrected()
    await corrected.passes(GUEST_SECONDS - 1)
    assert await units(shop, session_id, headers) == 1
    await corrected.passes(2)
    answer = await shop.http.get(f"/customer-session/{session_id}", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "expired_token")


async def test_f50_f51_after_a_paid_session_its_screen_has_its_minutes(corrected: Set) -> None:
    headers, session_id = await guest(corrected.shop)
    payment = (await corrected.shop.create_payment(session_id, headers)).json()
    of_screen = screen_token(corrected.shop, session_id)
    await corrected.shop.press(payment["payment_url"])
    shop = await corrected()
    await corrected.passes(GRACE_SECONDS)
    async with screen(shop, session_id, of_screen) as open_:
        assert (await open_.hears())["type"] == "Payment successful"
    await corrected.passes(1)
    assert (await refusal(shop, session_id, of_screen))[0] == 403
    await corrected.passes(SCREEN_SECONDS - GRACE_SECONDS - 1)
    assert await units(shop, session_id, of_screen) == 1
    await corrected.passes(1)
    assert await units(shop, session_id, of_screen) is None


async def test_f50_f51_what_is_bought_stays_in_its_order(corrected: Set) -> None:
    headers, session_id = await guest(corrected.shop)
    shop = await corrected()
    await corrected.passes(1)
    await shop.add(session_id, TEA)
    await corrected.passes(1)
    await shop.add(session_id, BREAD)
    basket = (await shop.http.get(f"/cart-items/session/{session_id}", headers=headers)).json()["items"]
    assert [line["product"]["barcode"] for line in basket] == [MILK, TEA, BREAD]


async def test_f50_f51_a_cart_that_is_away_starts_a_session_for_a_minute_and_no_longer(opening: OpenShop) -> None:
    clock = ManualClock()
    async with opening(clock=clock) as shop:
        await shop.furnish()
        async with shop.cart():
            await shop.online()
        await shop.offline()
        for seconds in (13 * HOURS, -13 * HOURS, -10 * YEARS, 10 * YEARS):
            clock.correct(seconds)
            await shop.qr()
            clock.move(15)
        clock.correct(-10 * YEARS)
        clock.move(1)
        answer = await shop.http.get("/customer-session/qr/1", headers=shop.cart_headers())
        assert (answer.status_code, answer.json()["code"]) == (409, "cart_offline")


async def test_f50_f51_a_cart_that_comes_back_hears_of_a_qr_while_that_can_be_scanned(opening: OpenShop) -> None:
    clock = ManualClock()
    async with opening(clock=clock, offline_carts="accept") as shop:
        await shop.furnish()
        await shop.qr()
        clock.correct(13 * HOURS)
        async with shop.cart() as cart:
            assert "generate_qr" in str(await cart.recv())
        await shop.offline()
        await shop.qr()
        clock.correct(-26 * HOURS)
        clock.move(shop.inside.settings.qr_seconds)
        async with shop.cart():
            await shop.online()
            assert (await shop.states())[-1] == "superseded"


async def test_f50_f51_a_webhook_is_old_after_its_time_whatever_the_clock_is_set_to(opening: OpenShop) -> None:
    async with opening(offline_carts="accept") as shop:
        await shop.furnish()
        for seconds in (13 * HOURS, -10 * YEARS):
            headers, body = sandbox(shop).webhook("payment.declined", "nothing", 1, "EGP")
            shop.clock.correct(seconds)
            assert (await shop.http.post("/payment/webhook/sandbox", content=body, headers=headers)).status_code == 200
            shop.clock.move(301)
            answer = await shop.http.post("/payment/webhook/sandbox", content=body, headers=headers)
            assert answer.json()["code"] == "old_signature"


async def test_f50_f51_a_limit_is_neither_lifted_nor_kept_by_a_correction(opening: OpenShop) -> None:
    async with opening(sign_in_per_minute=1) as shop:
        login = {"username": "mona@example.com", "password": "wrong"}
        assert (await shop.http.post("/auth/login", data=login)).status_code == 401
        for seconds in (13 * HOURS, -13 * HOURS, -10 * YEARS):
            shop.clock.correct(seconds)
            assert (await shop.http.post("/auth/login", data=login)).status_code == 429
        shop.clock.move(60)
        assert (await shop.http.post("/auth/login", data=login)).status_code == 401


async def test_f50_a_machine_that_is_turned_off_tidily_loses_not_a_second(opening: OpenShop) -> None:
    clock = ManualClock()
    async with opening(clock=clock) as shop:
        clock.move(9)
        stood = shop.inside.clock.steady()
    clock.boot()
    async with opening(clock=clock) as shop:
        assert shop.inside.clock.steady() == stood


async def test_f50_a_power_cut_costs_nothing_but_the_seconds_since_the_last_round(opening: OpenShop) -> None:
    """The row is older than what was stamped: stamps lie ahead, nothing ends early, and the rest takes its time."""
    clock = ManualClock()
    async with opening(clock=clock, offline_carts="accept") as shop:
        await shop.furnish()
        clock.move(60)
        await settle(shop)
        clock.move(9)
        headers, session_id = await guest(shop)
        keys = shop.keys
        shop.inside.clock.keep = lambda connection: 0  # type: ignore[method-assign]  # the power is cut
    clock.boot()
    clock.correct(-13 * HOURS)
    async with opening(clock=clock, offline_carts="accept") as shop:
        shop.keys = keys
        await settle(shop)
        assert await units(shop, session_id, headers) == 1
        clock.move(shop.inside.settings.idle_seconds + 9)
        await settle(shop)
        assert await shop.alarm_kinds() == []
        clock.move(1)
        await settle(shop)
        assert await shop.alarm_kinds() == ["session_idle"]
