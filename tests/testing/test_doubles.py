"""The doubles that no other test needs as they are, against a server whose time the test moves."""

import asyncio

import pytest

from duckycart.testing.cart import DeafCart, SilentCart, running
from duckycart.testing.crowd import CrowdCart
from duckycart.testing.endpoint import Endpoint
from duckycart.testing.fielded import FieldedCart
from duckycart.testing.furnish import MILK
from duckycart.testing.pace import RealPace
from duckycart.testing.relay import relaying
from duckycart.testing.waiting import until
from tests.world import Shop

pytestmark = pytest.mark.any_store


async def pass_the_deadline(shop: Shop) -> None:
    for _ in range(40):
        shop.clock.move(1)
        shop.tick()


async def test_a_silent_cart_hears_and_has_received_nothing_and_is_given_up(shop: Shop) -> None:
    async with running(SilentCart(shop.endpoint, 1, shop.keys[1])) as cart:
        await shop.online()
        await shop.qr()
        await cart.hears("generate_qr")
        assert "received" not in await shop.states()
        await pass_the_deadline(shop)
        await until(lambda: cart.closes == [4408])
        await until(lambda: cart.commands == [("generate_qr", None)] * 2)


async def test_a_deaf_cart_hears_nothing_and_is_given_up(shop: Shop) -> None:
    async with running(DeafCart(shop.endpoint, 1, shop.keys[1])) as cart:
        await shop.online()
        await shop.qr()
        await pass_the_deadline(shop)
        await shop.offline()
        assert (cart.commands, cart.closes) == ([], [])  # nor does it see that its connection is over
        assert "received" not in await shop.states()


async def test_a_fielded_cart_wipes_its_basket_at_a_second_start_and_says_so(shop: Shop) -> None:
    async with running(FieldedCart(shop.endpoint, 1, shop.keys[1], RealPace(faster=100))) as cart:
        await shop.online()
        session_id = await shop.start(await shop.shopper())
        await until(lambda: cart.session == session_id)
        assert await cart.add(session_id, MILK)
        assert cart.wrong == []
        cart.hear(f'{{"type": "session_started", "data": {session_id}}}')  # what a server must not do
        assert cart.wiped == [session_id]
        cart.leave()


async def test_a_cart_of_a_crowd_is_called_from_the_address_that_its_endpoint_says(shop: Shop) -> None:
    async with relaying(shop.endpoint) as relay:
        cart = await CrowdCart.connect(relay.endpoint.called_from("127.0.0.9"), 1, shop.keys[1])
        assert [wire.address for wire in relay.wires] == ["127.0.0.9"]
        cart.close()


def test_an_endpoint_is_what_its_url_says() -> None:
    assert Endpoint.of("http://127.0.0.1:8000/x") == Endpoint(8000)
    assert Endpoint.of("ws://carts.example") == Endpoint(80, "carts.example")
    secure = Endpoint.of("wss://carts.example")
    assert (secure.port, secure.tls is not None) == (443, True)


async def test_real_seconds_are_as_short_as_a_test_wants_them() -> None:
    pace = RealPace(faster=1000)
    began = asyncio.get_running_loop().time()
    await pace.sleep(10)
    assert pace.seconds >= 10
    with pytest.raises(TimeoutError):
        async with pace.limit(10):
            await pace.sleep(100_000)
    assert asyncio.get_running_loop().time() - began < 10
