"""How many may listen (F47)."""

import pytest

from duckycart.channels.listener import End, Listener
from duckycart.channels.room import Name, Room
from duckycart.errors import TooManyRequests
from duckycart.testing.waiting import until
from tests.api.doors import Session
from tests.channels.world import listeners, message, screen, stream
from tests.conftest import OpenShop

pytestmark = pytest.mark.any_store

UPDATED = message("cart-updated")
ONE: Name = ("session", 1)
TWO: Name = ("session", 2)


class Listening:
    def __init__(self, per_topic: int, per_address: int, in_all: int) -> None:
        self.said: list[str] = []
        self.room = Room(per_topic, per_address, in_all, lambda of, address: self.said.append(of), lambda key: None)

    def enter(self, topic: Name, address: str) -> Listener:
        listener = Listener(0.0)
        self.room.enter(listener, topic, address)
        return listener


def crowded(*listeners: Listener) -> list[bool]:
    return [listener.end is End.CROWDED for listener in listeners]


def test_f47_of_one_session_the_address_that_has_most_gives_up_its_oldest() -> None:
    them = Listening(4, 100, 100)
    screen = them.enter(ONE, "screen")
    phones = [them.enter(ONE, "phone") for _ in range(5)]
    assert crowded(screen, *phones) == [False, True, True, False, False, False]
    assert len(them.said) == 2


def test_f47_of_one_address_the_session_that_has_most_gives_up_its_oldest() -> None:
    them = Listening(100, 4, 100)
    good = them.enter(TWO, "wifi")
    many = [them.enter(ONE, "wifi") for _ in range(3)]
    other = them.enter(TWO, "wifi")
    assert crowded(good, *many, other) == [False, True, False, False, False]
    assert crowded(them.enter(ONE, "elsewhere")) == [False]


def test_f47_where_each_has_one_the_newcomer_is_refused() -> None:
    them = Listening(2, 100, 100)
    early = [them.enter(ONE, "a"), them.enter(ONE, "b")]
    with pytest.raises(TooManyRequests):
        them.enter(ONE, "c")
    assert crowded(*early) == [False, False]


def test_f47_all_listeners_have_a_bound_too() -> None:
    them = Listening(100, 100, 3)
    many = [them.enter(("session", number), "a") for number in range(3)]
    assert crowded(them.enter(ONE, "b")) == [False]
    assert crowded(*many) == [True, False, False]


def test_f47_nothing_is_left_of_who_is_gone() -> None:
    them = Listening(2, 2, 2)
    for topic in (ONE, TWO):
        listener = them.enter(topic, "a")
        them.room.leave(listener)
        them.room.leave(listener)
    assert not them.room._topics
    assert not them.room._addresses
    assert not them.room._leave
    assert len(them.room._all) == 0


async def test_f47_sockets_of_one_session_are_bounded(opening: OpenShop) -> None:
    async with opening(offline_carts="accept", listeners_per_session=2) as shop:
        await shop.furnish()
        shopper = await shop.shopper()
        session = Session(await shop.start(shopper), shopper)
        async with (
            screen(shop, session.id, shopper) as first,
            screen(shop, session.id, shopper) as second,
            screen(shop, session.id, shopper) as third,
        ):
            assert await first.hears() == UPDATED
            assert await first.code() == 1013
            await listeners(shop, 2)
            assert await second.hears() == UPDATED
            assert await third.hears() == UPDATED
            answer = (await shop.http.get("/readyz")).json()
            assert answer["short_of"] == "connections"
        await listeners(shop, 0)


async def test_f47_who_opens_again_and_again_is_refused(opening: OpenShop) -> None:
    async with opening(offline_carts="accept", listens_per_minute=2) as shop:
        await shop.furnish()
        for status in (200, 200, 429):
            async with stream(shop, "/sse/1", shop.cart_headers()) as it:
                assert it.answer.status_code == status
        await listeners(shop, 0)


async def test_f47_streams_are_bounded_and_end_as_streams_do(opening: OpenShop) -> None:
    async with opening(offline_carts="accept", listeners_per_session=1) as shop:
        await shop.furnish()
        async with stream(shop, "/sse/1", shop.cart_headers()) as first:
            await listeners(shop, 1)
            async with stream(shop, "/sse/1", shop.cart_headers()) as second:
                assert await first.event() is None
                await until(lambda: second.answer.status_code == 200)
                await listeners(shop, 1)
