"""Streams and sockets of screens and phones are opened a few at a time, so that carts' commands go out between them."""

import asyncio
from functools import partial
from typing import Final

from duckycart.guards.turnstile import Turnstile
from duckycart.refusals import TOO_MANY_OPENINGS

A_TURN: Final = 1  # openings begun in one turn of the event loop, 1 ms
INSIDE: Final = 2  # openings under way: a cart's own requests stand behind so many at the store


class Openings:
    """A request that becomes a stream or a socket waits here for its turn before anything about it is looked up:
    checking its credential is one read of the store, and what it hears first is another. `places` may wait or be under
    way."""

    def __init__(self, places: int) -> None:
        self._under_way: set[asyncio.Future[None]] = set()
        self.turnstile = Turnstile(
            "screens and phones", places, lambda: len(self._under_way), a_turn=A_TURN, most=INSIDE
        )

    def __len__(self) -> int:
        """Return how many wait or are under way."""
        return len(self.turnstile) + len(self._under_way)

    def turn(self) -> asyncio.Future[None]:
        """Return the future that one opening has to await. Call `over` with it in any case. Raises Unavailable if too
        many wait."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not self.turnstile.enter(partial(self._begin, turn)):
            raise TOO_MANY_OPENINGS()
        return turn

    def _begin(self, turn: asyncio.Future[None]) -> None:
        if turn.done():  # it was over before it began
            return
        self._under_way.add(turn)
        turn.set_result(None)

    def over(self, turn: asyncio.Future[None]) -> None:
        """Give the turn back: the opening is done, or refused, or nobody waits for it any more. May be called again."""
        turn.cancel()
        self._under_way.discard(turn)
        self.turnstile.go_on()
