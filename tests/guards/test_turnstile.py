"""The turnstile by itself."""

import asyncio
from typing import Final

from duckycart.guards.turnstile import Turnstile

A_TURN: Final = 4


class Inside:
    """How many are inside, and who went in, in order."""

    def __init__(self, places: int = 100, most: int = 100) -> None:
        self.count = 0
        self.went_in: list[int] = []
        self.turnstile = Turnstile("ducks", places, lambda: self.count, a_turn=A_TURN, most=most)

    def come(self, *who: int) -> list[bool]:
        return [self.turnstile.enter(lambda number=number: self._go_in(number)) for number in who]  # type: ignore[misc]

    def _go_in(self, who: int) -> None:
        self.went_in.append(who)
        self.count += 1

    def leave(self, count: int) -> None:
        self.count -= count
        self.turnstile.go_on()


async def turns(count: int) -> None:
    """Of the event loop."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_in_each_turn_of_the_loop_a_few_go_in_in_the_order_in_which_they_came() -> None:
    inside = Inside()
    inside.come(*range(2 * A_TURN + 1))
    assert inside.went_in == []
    await turns(2)
    assert inside.went_in == list(range(A_TURN))
    await turns(20)
    assert inside.went_in == list(range(2 * A_TURN + 1))
    assert len(inside.turnstile) == 0


async def test_who_comes_while_it_is_full_inside_waits_for_somebody_to_leave() -> None:
    inside = Inside(most=2)
    assert inside.come(1, 2, 3, 4) == [True] * 4
    await turns(20)
    assert inside.went_in == [1, 2]
    inside.leave(1)
    await turns(20)
    assert inside.went_in == [1, 2, 3]
    inside.leave(3)
    await turns(20)
    assert inside.went_in == [1, 2, 3, 4]


async def test_only_so_many_wait_or_are_inside() -> None:
    inside = Inside(places=3)
    assert inside.come(1, 2) == [True, True]
    await turns(20)
    assert inside.come(3, 4, 5) == [True, False, False]
    await turns(20)
    inside.leave(3)
    assert inside.come(6) == [True]
    await turns(20)
    assert inside.went_in == [1, 2, 3, 6]


async def test_one_that_fails_does_not_keep_the_others_out() -> None:
    inside = Inside()
    failures: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context["exception"]))
    inside.turnstile.enter(lambda: 1 // 0)  # type: ignore[arg-type]
    inside.come(1, 2)
    await turns(20)
    assert inside.went_in == [1, 2]
    assert len(failures) == 1
