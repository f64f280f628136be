"""Whoever saw that a payment was being created is told when it will not be opened."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from duckycart.effects import NewsKind
from duckycart.lifecycle.news import CANCELLED, DECLINED, missed_news
from duckycart.payments.checkout import ASKING_SECONDS
from duckycart.providers.protocol import NoAnswer
from tests.channels.world import message, screen
from tests.payments.acquirer import Acquirer, state
from tests.world import Shop

LOOK = message("cart-updated")
RETRYING = message("payment-retrying")


def failed(text: str) -> dict[str, Any]:
    return {"type": "payment-failed", "data": {"message": text}}


async def fails_again(shop: Shop, acquirer: Acquirer, tap: Callable[[], Awaitable[int]]) -> None:
    assert await tap() == 502


async def is_refused_later(shop: Shop, acquirer: Acquirer, tap: Callable[[], Awaitable[int]]) -> None:
    acquirer.fails, acquirer.answer_lost = False, NoAnswer("the connection broke")
    assert await tap() == 502
    acquirer.fails = True
    shop.clock.move(ASKING_SECONDS + 1)
    await shop.housekeeping()


async def is_cancelled(shop: Shop, acquirer: Acquirer, tap: Callable[[], Awaitable[int]]) -> None:
    acquirer.fails, acquirer.answer_lost = False, NoAnswer("the connection broke")
    assert await tap() == 502
    acquirer.answer_lost = None
    shop.clock.move(shop.inside.rules.payment_seconds + 1)
    await shop.housekeeping()


@pytest.mark.parametrize(
    ("end", "last", "text"),
    [(fails_again, "failed", DECLINED), (is_refused_later, "failed", DECLINED), (is_cancelled, "cancelled", CANCELLED)],
)
async def test_whoever_heard_that_a_payment_is_retried_hears_that_it_failed(
    shop: Shop, acquirer: Acquirer, shopper: dict[str, str], session_id: int, end: Any, last: str, text: str
) -> None:
    async def tap() -> int:
        return (await shop.create_payment(session_id, shopper)).status_code

    acquirer.fails = True
    assert await tap() == 502
    before = (await shop.session_row(session_id)).version
    async with screen(shop, session_id, shopper) as it:
        assert await it.hears() == LOOK
        await end(shop, acquirer, tap)
        assert await it.hears() == RETRYING
        assert await it.hears() == failed(text)
    assert await state(shop, session_id) == ["failed", last]
    # And so does the sweep, for whoever missed it.
    version = (await shop.session_row(session_id)).version
    missed = await shop.inside.store.read(lambda connection: missed_news(connection, {session_id: before}))
    assert (missed[-1].kind, missed[-1].version, missed[-1].data) == (
        NewsKind.PAYMENT_FAILED,
        version,
        {"message": text},
    )


async def test_whoever_saw_a_first_payment_being_created_is_told_to_look_when_it_failed(
    shop: Shop, acquirer: Acquirer, shopper: dict[str, str], session_id: int
) -> None:
    async with screen(shop, session_id, shopper) as it:
        assert await it.hears() == LOOK
        acquirer.fails = True
        await shop.create_payment(session_id, shopper)
        assert await it.hears() == LOOK
    assert await state(shop, session_id) == ["failed"]
