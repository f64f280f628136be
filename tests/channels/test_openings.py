"""Streams and sockets that come all at once are opened in turns: they wait, and a cart's command does not."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager

import pytest
from fastapi.routing import iter_route_contexts

from duckycart.api.openings import LISTENS
from duckycart.api.streams import router
from duckycart.channels.openings import A_TURN, INSIDE, Openings
from duckycart.errors import Unavailable
from duckycart.testing.waiting import until
from tests.api.doors import Session
from tests.channels.world import listeners, message, screen, stream
from tests.world import Shop

pytestmark = pytest.mark.any_store

MANY = 12


@contextmanager
def held(shop: Shop) -> Iterator[None]:
    """Nobody's turn comes."""
    turnstile = shop.inside.openings.turnstile
    most, turnstile.most = turnstile.most, 0
    yield
    turnstile.most = most


def waiting(shop: Shop) -> int:
    return len(shop.inside.openings.turnstile)


async def test_few_openings_begin_in_one_turn_and_few_are_under_way_and_all_get_their_turn() -> None:
    openings = Openings(100)
    turns = [openings.turn() for _ in range(MANY)]
    begun = [0]
    while begun[-1] < INSIDE:
        await asyncio.sleep(0)
        begun.append(sum(turn.done() for turn in turns))
        assert begun[-1] - begun[-2] <= A_TURN
    for number, turn in enumerate(turns):
        await turn
        assert sum(turn.done() for turn in turns) <= number + INSIDE
        openings.over(turn)
        openings.over(turn)  # that counts once
    assert (len(openings.turnstile), openings._under_way) == (0, set())


async def test_only_what_is_more_than_may_wait_is_refused() -> None:
    openings = Openings(3)
    turns = [openings.turn() for _ in range(3)]
    with pytest.raises(Unavailable):
        openings.turn()
    for turn in turns:
        await turn
        openings.over(turn)
    await openings.turn()


async def test_one_that_waits_no_more_takes_nobodys_turn() -> None:
    openings = Openings(100)
    gone = [openings.turn() for _ in range(MANY)]
    last = openings.turn()
    for turn in gone:
        openings.over(turn)
    await last
    assert len(openings._under_way) == 1


@pytest.mark.parametrize("path", sorted(str(context.path) for context in iter_route_contexts(router.routes)))
def test_each_door_of_listeners_takes_turns(path: str) -> None:
    assert LISTENS.fullmatch(path)


async def test_many_wait_while_a_carts_command_goes_out_and_then_all_listen(shop: Shop, session: Session) -> None:
    async with shop.cart(2) as cart, AsyncExitStack() as stack:
        await shop.online(2)
        with held(shop):
            path = f"/customer-session/{session.id}/events"
            streams = [
                asyncio.create_task(stack.enter_async_context(stream(shop, path, session.shopper))) for _ in range(MANY)
            ]
            screens = [
                asyncio.create_task(stack.enter_async_context(screen(shop, session.id, session.shopper)))
                for _ in range(MANY)
            ]
            await until(lambda: waiting(shop) == 2 * MANY)
            assert len(shop.inside.channels) == 0
            await shop.qr(2)
            assert "generate_qr" in str(await cart.recv())
            assert waiting(shop) == 2 * MANY
        shop.inside.openings.turnstile.go_on()
        for its in await asyncio.gather(*screens):
            assert await its.hears() == message("cart-updated")
        for it in await asyncio.gather(*streams):
            assert await it.event() is not None
        await listeners(shop, 2 * MANY)
        assert shop.inside.openings._under_way == set()


async def test_over_the_bound_streams_and_sockets_hear_when_to_come_again(shop: Shop, session: Session) -> None:
    shop.inside.openings.turnstile.places = 0
    path = f"/customer-session/{session.id}/events"
    answer = await shop.http.get(path, headers=session.shopper)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert answer.json()["code"] == "too_many_openings"
    with pytest.raises(Exception, match="503"):
        async with screen(shop, session.id, session.shopper):
            pass
    shop.inside.openings.turnstile.places = INSIDE
    async with screen(shop, session.id, session.shopper) as its:
        assert await its.hears() == message("cart-updated")


async def test_one_that_goes_away_or_is_refused_gives_its_turn_back(shop: Shop, session: Session) -> None:
    for _ in range(2 * INSIDE):
        answer = await shop.http.get("/customer-session/999/events", headers=session.shopper)
        assert answer.status_code == 404
    await until(lambda: not shop.inside.openings._under_way)
    async with screen(shop, session.id, session.shopper) as its:
        assert await its.hears() == message("cart-updated")
