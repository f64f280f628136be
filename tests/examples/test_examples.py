"""Each example goes through what a cart goes through: whole sessions, lost receipts, broken links, reboots."""

import asyncio
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from contextlib import AsyncExitStack

from duckycart.testing.relay import HalfOpen
from duckycart.testing.waiting import PATIENCE, until
from tests.conftest import OpenShop
from tests.examples.world import HELD, SHOPPING, Network, network, running
from tests.world import Shop

KEY = "a key/with + what a URL must escape & more"


async def test_a_whole_session_and_what_is_said_again_after_a_broken_link_does_nothing(
    shop: Shop, net: Network, command: list[str]
) -> None:
    shopper = await shop.shopper()
    async with running(command, net.port, shop.keys[1]) as cart:
        await shop.online()
        token = await shop.qr()
        await cart.does("show the QR")
        assert await shop.settled() == ["received"]

        net.freeze(HalfOpen.UP)
        session_id = (await shop.scan(token, shopper)).json()["session_id"]
        await cart.does(SHOPPING.format(session_id))
        assert (await shop.states())[-1] != "received"
        net.cut()
        assert await shop.settled() == ["received"] * 2
        assert net.told("session_started") == 2

        await shop.add(session_id)
        net.freeze(HalfOpen.UP)
        payment = (await shop.create_payment(session_id, shopper)).json()
        await cart.does(HELD.format(session_id))
        assert (await shop.states())[-1] != "received"
        net.cut()
        assert await shop.settled() == ["received"] * 3
        assert net.told("payment_created") == 2

        await shop.press(payment["payment_url"])
        await cart.does("back to idle")
        assert await shop.settled() == ["received"] * 4
        await shop.qr()
        await cart.does("show the QR")


async def test_without_arguments_it_says_how_it_is_used(command: list[str]) -> None:
    for arguments in ([], ["1"]):
        process = await asyncio.create_subprocess_exec(*command, *arguments, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT)
        async with asyncio.timeout(PATIENCE):
            output, _ = await process.communicate()
        assert process.returncode == 1
        assert "DUCKYCART_KEY=… " in output.decode()
        assert "1 ws://127.0.0.1:8000" in output.decode()


async def test_a_rebooted_one_is_told_where_it_stands(shop: Shop, net: Network, command: list[str]) -> None:
    shopper = await shop.shopper()
    async with running(command, net.port, shop.keys[1]) as cart:
        await shop.online()
        session_id = await shop.start(shopper)
        await shop.add(session_id)
        await shop.create_payment(session_id, shopper)
        await cart.does("show the QR", SHOPPING.format(session_id), HELD.format(session_id))
        assert await shop.settled() == ["received"] * 3
    await shop.offline()
    async with running(command, net.port, shop.keys[1]) as cart:
        await cart.does(SHOPPING.format(session_id), HELD.format(session_id))
        assert await shop.settled() == ["received"] * 3


async def test_it_comes_back_when_the_server_does(opening: OpenShop, command: list[str]) -> None:
    async with AsyncExitStack() as stack:
        async with opening() as shop:
            await shop.furnish()
            shopper = await shop.shopper()
            net = await stack.enter_async_context(network(shop.endpoint))
            cart = await stack.enter_async_context(running(command, net.port, shop.keys[1]))
            await shop.online()
            session_id = await shop.start(shopper)
            await cart.does("show the QR", SHOPPING.format(session_id))
            await shop.settled()
            net.shut()
        await cart.says_of_its_connection("not connected: closed with 1012")
        await cart.says_of_its_connection("not connected")  # it tried
        async with opening(clock=shop.clock) as again:
            again.keys = shop.keys
            net.target = again.endpoint
            await net.open()
            await again.online()
            await again.add(session_id)
            payment = (await again.create_payment(session_id, shopper)).json()
            await again.press(payment["payment_url"])
            await cart.does(HELD.format(session_id), "back to idle")
            assert await again.settled() == ["received"] * 4


async def test_a_refused_one_asks_again_until_it_is_let_in(shop: Shop, net: Network, command: list[str]) -> None:
    async with running(command, net.port, KEY, cart_id=2) as cart:
        await cart.says_of_its_connection("not connected")
        await shop.add_cart(2, KEY)
        await shop.online(2)
        await shop.qr(2)
        await cart.does("show the QR")
        assert await shop.settled(2) == ["received"]


async def test_it_answers_heartbeats(shop: Shop, net: Network, command: list[str]) -> None:
    async with running(command, net.port, shop.keys[1]):
        await shop.online()
        connection = await until(lambda: shop.inside.dispatch.links.current(1))
        for _ in range(3):  # unanswered, the first would close the link at the third
            shop.clock.move(16)
            shop.tick()
            await until(lambda: not connection.link._pinged)
        assert shop.inside.dispatch.links.current(1) is connection
