"""Calls are made in order, each once, however long the network and the disk take."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx2
import pytest

from duckycart.cart.calls import Calls, Done, Outcome, Refusal, call
from duckycart.cart.setback import Setback
from duckycart.testing.waiting import until
from tests.cart.world import LongestDelays, Naps

ADD = call("add", 7, sessionID=7, barcode=1)
OTHER = call("add", 7, sessionID=7, barcode=2)


@dataclass
class World:
    calls: Calls
    naps: Naps
    disk: asyncio.Event  # set: what is to be kept is on disk
    asked: list[httpx2.Request] = field(default_factory=list)
    came: list[Outcome] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)

    @property
    def keys(self) -> list[str]:
        return [request.headers["Idempotency-Key"] for request in self.asked]


Answer = Callable[[int], httpx2.Response]  # to the nth request


@asynccontextmanager
async def made(answer: Answer) -> AsyncIterator[World]:
    def handle(request: httpx2.Request) -> httpx2.Response:
        world.asked.append(request)
        return answer(len(world.asked))

    def delayed(setback: Setback, delay: float) -> None:
        world.delays.append(delay)

    async def kept() -> None:
        await world.disk.wait()

    naps = Naps()
    async with httpx2.AsyncClient(base_url="http://shop", transport=httpx2.MockTransport(handle)) as http:
        came: list[Outcome] = []
        calls = Calls(http, 1, kept=kept, came_of=came.append, delayed=delayed, sleep=naps, random=LongestDelays())
        world = World(calls, naps, asyncio.Event(), came=came)
        world.disk.set()
        running = asyncio.create_task(calls.run())
        yield world
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def done(_: int) -> httpx2.Response:
    return httpx2.Response(200, json={})


def silent(_: int) -> httpx2.Response:
    raise httpx2.ReadTimeout("nothing came")


async def test_nothing_is_asked_before_it_is_on_disk() -> None:
    async with made(done) as world:
        world.disk.clear()
        world.calls.put(ADD)
        for _ in range(10):
            await asyncio.sleep(0)
        assert not world.asked
        world.disk.set()
        await until(lambda: world.came)
        assert world.came == [Done(ADD, {})]


@pytest.mark.parametrize("failing", [silent, lambda _: httpx2.Response(503), lambda _: httpx2.Response(200, text="{")])
async def test_a_call_that_is_repeated_has_the_key_it_had(failing: Answer) -> None:
    async with made(lambda nth: failing(nth) if nth <= 3 else done(nth)) as world:
        world.calls.put(ADD, OTHER)
        for _ in range(3):
            (await world.naps.next()).wake()
        await until(lambda: len(world.came) == 2)
        assert world.keys == [ADD.key] * 4 + [OTHER.key]


async def test_that_calls_fail_is_told_once_and_again_after_one_that_did_not() -> None:
    async with made(lambda nth: done(nth) if nth == 3 else silent(nth)) as world:
        world.calls.put(ADD, OTHER)
        for times in (1, 1, 2, 2):
            await world.naps.next()
            assert len(world.delays) == times
            world.calls.try_now()


async def test_the_network_that_is_back_is_used_at_once() -> None:
    async with made(lambda nth: silent(nth) if nth <= 3 else done(nth)) as world:
        world.calls.put(ADD)
        for _ in range(2):
            (await world.naps.next()).wake()
        longest = await world.naps.next()
        world.calls.try_now()
        await until(lambda: world.came)
        assert longest.seconds > world.delays[0]  # and nobody slept it out


async def test_a_refusal_is_final_and_the_next_goes_on() -> None:
    async with made(lambda nth: httpx2.Response(409, json={"detail": "Frozen."}) if nth == 1 else done(nth)) as world:
        world.calls.put(ADD, OTHER)
        await until(lambda: len(world.came) == 2)
        assert isinstance(world.came[0], Refusal)
        assert world.came[1] == Done(OTHER, {})
        assert world.keys == [ADD.key, OTHER.key]


async def test_what_came_of_a_call_whose_session_ended_meanwhile_is_told_to_nobody() -> None:
    def ends(nth: int) -> httpx2.Response:
        if nth == 1:
            assert world.calls.keep_only(None) == 1
            world.calls.put(call("add", 8, sessionID=8, barcode=1))
        return done(nth)

    async with made(ends) as world:
        world.calls.put(ADD)
        await until(lambda: world.came)
        assert [outcome.call.session_id for outcome in world.came] == [8]
