"""A test waits for what must come, without sleeping through a time that somebody guessed."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

PATIENCE: Final = 20.0  # seconds until a condition that never comes fails the test; nothing waits for it to pass


async def until(condition: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """Call `condition` again and again until it gives something true, and return that.

    A condition may be a coroutine function too. Raises TimeoutError after so many seconds, and at once whatever the
    condition raises: one that calls a server which may not be there yet has to catch `Lost` itself.
    """
    async with asyncio.timeout(seconds):
        while True:
            result = condition()
            if asyncio.iscoroutine(result):
                result = await result
            if result:
                return result
            await asyncio.sleep(0.002)
