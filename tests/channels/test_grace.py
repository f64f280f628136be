"""F39: a screen that was away for the second in which "Payment successful" was said."""

from unittest import mock

import pytest
from websockets.exceptions import ConnectionClosed

from duckycart.channels.channels import Channels
from duckycart.lifecycle.access import ByOperator
from duckycart.lifecycle.news import GRACE_SECONDS
from duckycart.lifecycle.sessions import force_end
from tests.api.doors import Session, refused
from tests.channels.world import end, listeners, message, pay, refusal, screen, stream
from tests.world import Shop

UPDATED, PAID = message("cart-updated"), message("Payment successful")


async def test_f39_within_the_grace_the_socket_opens_says_the_last_word_and_closes(
    shop: Shop, session: Session
) -> None:
    await pay(shop, session.id, session.shopper)
    for _ in range(2):
        async with screen(shop, session.id, session.shopper) as it:
            assert await it.hears() == PAID
            assert await it.code() == 1000
        shop.clock.move(GRACE_SECONDS / 2)
    shop.clock.move(0.001)
    assert await refusal(shop, session.id, session.shopper) == (403, "session_over")


async def test_f39_an_open_socket_closes_when_the_grace_is_over(shop: Shop, session: Session) -> None:
    url = f"/customer-session/{session.id}/events"
    async with screen(shop, session.id, session.shopper) as it, stream(shop, url, session.shopper) as phone:
        assert await it.hears() == UPDATED
        assert await phone.event() is not None
        await end(shop, session.id, session.shopper)
        assert await it.hears() == UPDATED
        assert await phone.event() is not None
        shop.clock.move(GRACE_SECONDS - 1)
        shop.inside.channels.tick()
        await listeners(shop, 2)
        shop.clock.move(1)
        shop.inside.channels.tick()
        assert await it.code() == 1000
        while (heartbeat := await phone.event()) is not None:
            assert heartbeat == (None, {})
    await listeners(shop, 0)


async def test_f39_a_phones_stream_says_the_last_word_and_ends(shop: Shop, session: Session) -> None:
    await pay(shop, session.id, session.shopper)
    url = f"/customer-session/{session.id}/events"
    async with stream(shop, url, session.shopper) as it:
        heard = await it.event()
        assert heard is not None
        assert heard[1] == PAID
        assert await it.event() is None
    shop.clock.move(GRACE_SECONDS + 1)
    assert refused(await shop.http.get(url, headers=session.shopper), 410)["code"] == "session_over"


@pytest.mark.parametrize("times", [1, 2])
async def test_an_end_that_was_not_told_here_is_found_by_the_sweep_and_said_once(
    shop: Shop, session: Session, times: int
) -> None:
    """An operator's shell is another process: the server hears of its commands by the sweep alone."""
    async with screen(shop, session.id, session.shopper) as it:
        assert await it.hears() == UPDATED
        with mock.patch.object(Channels, "tell"):
            await shop.inside.store.write(lambda tx: force_end(tx, ByOperator(None), session.id, shop.inside.rules))
        for _ in range(times):
            await shop.inside.channels.sweep()
        assert await it.hears() == UPDATED
        shop.clock.move(GRACE_SECONDS)
        shop.inside.channels.tick()
        assert await it.code() == 1000
        with pytest.raises(ConnectionClosed):
            await it.hears()
