"""Timers do work again and again while the server runs."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import structlog

from duckycart.errors import DuckyCartError

log = structlog.get_logger()


@asynccontextmanager
async def running(*rounds: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run these coroutines (`every`) side by side for the time of the block."""
    timers = [asyncio.create_task(each) for each in rounds]
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()
        await asyncio.gather(*timers, return_exceptions=True)


async def every(seconds: float, name: str, work: Callable[[], Awaitable[None] | None]) -> None:
    """Do `work` again and again, for ever. An error of one round is logged and does not end the rounds."""
    while True:
        await asyncio.sleep(seconds)
        try:
            result = work()
            if inspect.isawaitable(result):
                await result
        except DuckyCartError as error:
            log.warning("round failed", what=name, reason=error.code)
        except Exception:
            log.exception("round failed", what=name)
