"""What is said, in the words that fielded screens and phones read, and in which order."""

from typing import Any

import pytest
from sqlalchemy import select

from duckycart.channels.channels import Channels
from duckycart.channels.messages import MESSAGES
from duckycart.effects import News, NewsKind
from duckycart.hardware.dispatch import Dispatch
from duckycart.store.address import locate
from duckycart.store.database import engine_for
from duckycart.store.tables import sessions
from duckycart.testing.furnish import BREAD, MILK
from tests.api.doors import Session
from tests.channels.world import end, message, pay, post, screen, stream, warn
from tests.world import Shop

UPDATED, CREATED, PAID = message("cart-updated"), message("Payment created"), message("Payment successful")
RETRYING = message("payment-retrying")


async def test_a_screen_hears_of_everything_in_a_session(shop: Shop, session: Session) -> None:
    async with screen(shop, session.id, session.shopper) as it:
        assert await it.hears() == UPDATED
        await post(shop, "/items/read", sessionID=session.id, barcode=MILK)
        assert await it.hears() == message("item-read", MILK)
        await shop.add(session.id, MILK)
        assert await it.hears() == message("cart-updated", MILK)
        await shop.add(session.id, BREAD)
        assert await it.hears() == message("cart-updated", BREAD)
        await warn(shop, session.id, "weight increased")
        assert await it.hears() == message("weight increased")
        await warn(shop, session.id, "weight decreased")
        assert await it.hears() == message("weight decreased")
        for barcode in (MILK, 0):
            await post(shop, "/fraud-warnings/notify-cart-update", session_id=session.id, barcode=barcode)
            assert await it.hears() == message("cart-updated", barcode)
        payment = (await shop.create_payment(session.id, session.shopper)).json()
        assert await it.hears() == CREATED
        await shop.press(payment["payment_url"], "decline")
        declined = await it.hears()
        assert declined["type"] == "payment-failed"
        assert declined["data"].keys() == {"message"}
        await shop.press(payment["payment_url"])
        assert await it.hears() == PAID


async def test_f18_the_screen_hears_that_the_last_unit_went(shop: Shop, session: Session) -> None:
    await shop.add(session.id)
    async with screen(shop, session.id, session.shopper) as it:
        assert await it.hears() == UPDATED
        assert (await shop.remove(session.id)).json()["item"] is None
        assert await it.hears() == message("cart-updated", MILK)


async def test_another_payment_after_a_cancelled_one_is_said_to_be_a_retry(shop: Shop, session: Session) -> None:
    await shop.add(session.id)
    async with screen(shop, session.id, session.shopper) as it:
        assert await it.hears() == UPDATED
        await shop.create_payment(session.id, session.shopper)
        assert await it.hears() == CREATED
        shop.clock.move(shop.inside.rules.payment_seconds + 1)
        await shop.inside.checkout.reconcile()
        assert (await it.hears())["type"] == "payment-failed"
        await shop.create_payment(session.id, session.shopper)
        assert await it.hears() == RETRYING
        assert await it.hears() == CREATED


async def test_what_is_refused_is_not_said(shop: Shop, session: Session) -> None:
    await shop.add(session.id)
    await shop.create_payment(session.id, session.shopper)
    async with screen(shop, session.id, session.shopper) as it:
        assert await it.hears() == UPDATED
        assert (await shop.add(session.id)).status_code == 409
        assert (await post(shop, "/items/read", sessionID=session.id, barcode=1)).status_code == 404
        await shop.create_payment(session.id, session.shopper)  # the same payment again: nothing new
        await warn(shop, session.id, "battery low")  # a notice is not the shopper's business
        await warn(shop, session.id, "weight increased")
        assert await it.hears() == message("weight increased")


async def test_after_an_end_that_is_no_payment_clients_are_told_to_look(shop: Shop, session: Session) -> None:
    async with screen(shop, session.id, session.shopper) as it:
        assert await it.hears() == UPDATED
        await end(shop, session.id, session.shopper)
        assert await it.hears() == UPDATED


async def test_one_session_hears_nothing_of_another(shop: Shop, session: Session) -> None:
    other = await shop.shopper("other@example.com")
    its = await shop.start(other, cart_id=2)
    async with screen(shop, session.id, session.shopper) as it:
        assert await it.hears() == UPDATED
        await shop.add(its, BREAD, cart_id=2)
        await shop.add(session.id, MILK)
        assert await it.hears() == message("cart-updated", MILK)


async def test_new_clients_hear_the_same_with_the_sessions_version_as_id(shop: Shop, session: Session) -> None:
    url = f"/customer-session/{session.id}/events"
    async with stream(shop, url, session.shopper) as it:
        assert it.answer.headers["content-type"].startswith("text/event-stream")
        assert await it.event() == (str((await shop.session_row(session.id)).version), UPDATED)
        await shop.add(session.id, MILK)
        assert await it.event() == (str((await shop.session_row(session.id)).version), message("cart-updated", MILK))
        await pay(shop, session.id, session.shopper)
        heard = [await it.event() for _ in range(3)]
        assert [one[1]["type"] for one in heard if one] == ["cart-updated", "Payment created", "Payment successful"]
        last = heard[-1]
        assert last is not None
        assert last[0] == str((await shop.session_row(session.id)).version)


async def test_f13_the_screen_is_told_after_the_commit_and_after_the_carts_command(
    shop: Shop, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[Any] = []
    queued, tell = Dispatch.queued, Channels.tell

    engine = engine_for(locate(shop.inside.settings.database))

    def committed() -> Any:
        with engine.connect() as connection:
            first = select(sessions.c.is_active, sessions.c.held_at.is_not(None)).order_by(sessions.c.id)
            return connection.execute(first).first()

    def hand_over(self: Dispatch, effect: Any) -> None:
        queued(self, effect)
        steps.append(effect.command.type.value)

    def watch(self: Channels, news: News) -> None:
        steps.append((news.kind.value, *committed()))
        tell(self, news)

    monkeypatch.setattr(Dispatch, "queued", hand_over)
    monkeypatch.setattr(Channels, "tell", watch)
    await pay(shop, session.id, session.shopper)
    await shop.start(session.shopper)
    assert steps == [
        ("cart-updated", 1, 0),
        "payment_created",
        ("Payment created", 1, 1),
        "end_session",
        ("Payment successful", 0, 1),
        "generate_qr",
        "session_started",
        ("session-started", 0, 1),  # of the first session, which is the one looked at
    ]
    engine.dispose()


def test_every_kind_of_news_has_its_message() -> None:
    assert set(MESSAGES) == set(NewsKind) - {NewsKind.SESSION_STARTED}
    for kind, model in MESSAGES.items():
        assert model.model_fields["type"].default == kind.value
