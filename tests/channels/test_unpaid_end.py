"""F68: a session that ended unpaid. Fielded screens go back to their QR on a 401, and on nothing else."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from duckycart.lifecycle.access import SCREEN_SECONDS
from duckycart.lifecycle.news import GRACE_SECONDS
from tests.api.doors import DOORS, FOR_SCREENS, Session, refused
from tests.channels.test_admission import bearer, screen_token
from tests.channels.world import end, message, pay, refusal, screen, stream
from tests.conftest import OpenShop
from tests.hardware.helpers import end_by_force
from tests.world import Shop

UPDATED, PAID = message("cart-updated"), message("Payment successful")


async def ended(shop: Shop, session: Session) -> None:
    await end(shop, session.id, session.shopper)


async def forced(shop: Shop, session: Session) -> None:
    await shop.add(session.id)
    await end_by_force(shop, session.id)


async def forced_in_payment(shop: Shop, session: Session) -> None:
    await shop.add(session.id)
    assert (await shop.create_payment(session.id, session.shopper)).status_code == 200
    await end_by_force(shop, session.id)


async def idle(shop: Shop, session: Session) -> None:
    shop.clock.move(shop.inside.rules.idle_seconds + 1)
    await shop.housekeeping()


UNPAID = pytest.mark.parametrize("finish", [ended, forced, forced_in_payment, idle], ids=lambda how: how.__name__)
Finish = Callable[[Shop, Session], Awaitable[None]]


def doors_of_screens(session: Session) -> list[tuple[str, str, Any]]:
    """Method, address and body of each."""
    bodies = ((door, door.body(session, "x") if door.body else None) for door in DOORS if str(door) in FOR_SCREENS)
    return [(door.method, door.url(session), body) for door, body in bodies]


@UNPAID
async def test_f68_all_that_a_screen_asks_is_401_from_the_moment_its_session_ended_unpaid(
    shop: Shop, session: Session, finish: Finish
) -> None:
    token = await screen_token(shop)
    assert (await shop.http.get(f"/cart-items/session/{session.id}", headers=bearer(token))).status_code == 200
    await finish(shop, session)
    assert not (await shop.session_row(session.id)).is_active
    for method, url, body in doors_of_screens(session):
        answer = await shop.http.request(method, url, json=body, headers=bearer(token))
        assert refused(answer, 401, url)["code"] == "ended_unpaid"


async def test_f68_after_a_paid_session_the_receipt_can_be_read_for_a_while(shop: Shop, session: Session) -> None:
    token = await screen_token(shop)
    await pay(shop, session.id, session.shopper)
    for moved in (0, SCREEN_SECONDS):
        shop.clock.move(moved)
        for path in ("/customer-session/", "/cart-items/session/", "/payment/get-payment/"):
            assert (await shop.http.get(f"{path}{session.id}", headers=bearer(token))).status_code == 200, path


@UNPAID
async def test_f68_the_screens_socket_and_stream_still_say_the_last_word(
    shop: Shop, session: Session, finish: Finish
) -> None:
    """Its token opens nothing else any more; refused, it would not even hear that there is nothing to wait for."""
    token = await screen_token(shop)
    events = f"/customer-session/{session.id}/events"
    await finish(shop, session)
    for query, headers in (("", bearer(token)), (f"?token={token}", None)):
        async with screen(shop, session.id, headers, query) as it:
            assert await it.hears() == UPDATED
            assert await it.code() == 1000
    async with stream(shop, events, bearer(token)) as it:
        assert (await it.event() or ("", {}))[1] == UPDATED
        assert await it.event() is None
    shop.clock.move(GRACE_SECONDS + 1)
    assert await refusal(shop, session.id, bearer(token)) == (403, "session_over")
    refused(await shop.http.get(events, headers=bearer(token)), 410)


@UNPAID
async def test_f68_the_shopper_and_the_guest_can_read_how_it_ended(shop: Shop, finish: Finish) -> None:
    """Their pages are not bound to a cart: they say that it is over."""
    qr = await shop.qr()
    guest = (await shop.http.post("/auth/guest", json={"token": qr})).json()
    headers = bearer(guest["access_token"])
    session = Session((await shop.scan(qr, headers)).json()["session_id"], headers)
    await finish(shop, session)
    read = (await shop.http.get(f"/customer-session/{session.id}", headers=headers)).json()
    assert read["is_active"] is False
    assert (await shop.http.get(f"/cart-items/session/{session.id}", headers=headers)).status_code == 200


async def test_f68_the_next_sessions_token_opens_and_the_last_ones_does_not(opening: OpenShop) -> None:
    """As a fielded screen goes on in one page: also without a credential for its stream."""
    async with opening(offline_carts="accept", legacy_screens="127.0.0.0/8") as shop:
        await shop.furnish()
        shopper = await shop.shopper()
        async with stream(shop, "/sse/1") as it:
            tokens = []
            for _ in range(2):
                session_id = await shop.start(shopper)
                event = await it.event()
                assert event is not None
                tokens.append(event[1]["token"])
                url = f"/cart-items/session/{session_id}"
                assert (await shop.http.get(url, headers=bearer(tokens[-1]))).status_code == 200
                await end(shop, session_id, shopper)
                refused(await shop.http.get(url, headers=bearer(tokens[-1])), 401)
                assert (await shop.http.get("/customer-session/qr/1", headers=bearer(tokens[-1]))).status_code == 200
