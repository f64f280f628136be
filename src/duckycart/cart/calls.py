"""Calls wait here for the network, and are made one after the other, in the order in which they were wanted.

A call that changes something has an Idempotency-Key and is on disk before it is made, so however often it is repeated,
by this process or by the next, it is done once. A refusal is final; silence, and whatever may pass, is not.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Final

import httpx2

from duckycart.cart.backoff import Backoff
from duckycart.cart.journal import Call
from duckycart.cart.setback import Setback, refused, sentence_of, unreachable

AT_MOST: Final = 100  # calls that wait; a cart without a network is not for shopping on and on
# Not final, though they are answers: what was asked for may be done when it is asked again.
_PASSING: Final = frozenset({401, 403, 408, 425, 429})
WAYS: Final[dict[str, tuple[str, str]]] = {  # method and path of each kind of call
    "status": ("GET", "/customer-session/cart-status/{cart}"),
    "basket": ("GET", "/cart-items/session/{session}"),
    "read": ("POST", "/items/read"),
    "add": ("POST", "/cart-items/add"),
    "remove": ("DELETE", "/cart-items/remove"),
    "warn": ("POST", "/fraud-warnings/"),
}


@dataclass(frozen=True, slots=True)
class Done:
    call: Call
    answer: Any  # what the JSON says


@dataclass(frozen=True, slots=True)
class Refusal:
    call: Call
    status: int
    sentence: str  # the server's own, for people


Outcome = Done | Refusal


def call(what: str, session_id: int, /, **body: Any) -> Call:
    """Make a call of a kind of `WAYS`, with a key of its own."""
    return Call(what, session_id, secrets.token_hex(16), body)


class Calls:
    """The calls of one cart. Those that change something are `waiting` until they are answered."""

    def __init__(
        self,
        http: httpx2.AsyncClient,
        cart_id: int,
        *,
        kept: Callable[[], Awaitable[None]],  # returns when `waiting`, as it is now, is on disk
        came_of: Callable[[Outcome], None],
        delayed: Callable[[Setback, float], None],  # told once when calls begin to fail, with the seconds of the pause
        sleep: Callable[[float], Awaitable[None]],
        random: Random,
    ) -> None:
        self._http = http
        self._cart_id = cart_id
        self._kept = kept
        self._came_of = came_of
        self._delayed = delayed
        self._sleep = sleep
        self._backoff = Backoff(random)
        self._queue: list[Call] = []
        self._news = asyncio.Event()  # something was put in or taken out, or the network is back
        self._failing = False

    @property
    def waiting(self) -> tuple[Call, ...]:
        return tuple(one for one in self._queue if one.lasting)

    @property
    def full(self) -> bool:
        return len(self._queue) >= AT_MOST

    def put(self, *calls: Call) -> None:
        """Make these calls after those that wait already; what is only read is not asked twice in a row."""
        for one in calls:
            if one.lasting or not any(replace(one, key=other.key) == other for other in self._queue[1:]):
                self._queue.append(one)
        self._news.set()

    def keep_only(self, session_id: int | None) -> int:
        """Drop the calls of every other session, which is over. Returns how many changes were lost with it."""
        before = len(self.waiting)
        self._queue = [one for one in self._queue if one.session_id == session_id]
        self._news.set()
        return before - len(self.waiting)

    def try_now(self) -> None:
        """Wait no longer with what failed: the network is back."""
        self._backoff.succeeded()
        self._news.set()

    async def run(self) -> None:
        """Make the calls until cancelled."""
        while True:
            self._news.clear()
            if not self._queue:
                await self._news.wait()
                continue
            one = self._queue[0]
            await self._kept()
            outcome = await self._made(one)
            if one not in self._queue:
                continue  # its session ended meanwhile
            if isinstance(outcome, Setback):
                await self._pause(outcome)
                continue
            self._backoff.succeeded()
            self._failing = False
            self._queue.remove(one)
            self._came_of(outcome)

    async def _pause(self, setback: Setback) -> None:
        delay = self._backoff.delay(setback.at_least)
        if not self._failing:
            self._failing = True
            self._delayed(setback, delay)
        sleeping = asyncio.ensure_future(self._sleep(delay))
        woken = asyncio.ensure_future(self._news.wait())
        try:
            await asyncio.wait({sleeping, woken}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            woken.cancel()

    async def _made(self, one: Call) -> Outcome | Setback:
        method, path = WAYS[one.what]
        headers = {"Idempotency-Key": one.key} if one.lasting else {}
        url = path.format(cart=self._cart_id, session=one.session_id)
        try:
            answer = await self._http.request(method, url, json=one.body or None, headers=headers)
        except httpx2.HTTPError as error:
            return unreachable(error)
        if answer.status_code == httpx2.codes.OK:
            try:
                return Done(one, answer.json())
            except (ValueError, RecursionError):
                return Setback("The server's answer cannot be read.")
        if answer.status_code in _PASSING or not 400 <= answer.status_code < 500:
            return refused(answer.status_code, answer.headers.get("Retry-After"))
        return Refusal(one, answer.status_code, sentence_of(answer) or f"The server refused it ({answer.status_code}).")
