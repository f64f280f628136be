"""A double waits by these seconds: a test may make them short, or move them by hand."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol


class Pace(Protocol):
    """A double asks this how much time has passed, and waits with it."""

    @property
    def seconds(self) -> float:
        """Return the seconds since the beginning."""

    async def sleep(self, seconds: float = 1) -> None:
        """Wait so long."""

    def limit(self, seconds: float) -> AbstractAsyncContextManager[None]:
        """Raise TimeoutError in the block when so much has passed before its end."""


class RealPace:
    """Real seconds, or shorter ones: of a double's ten seconds at `faster=100` a tenth of a second is left."""

    def __init__(self, faster: float = 1.0) -> None:
        self._faster = faster
        self._began = asyncio.get_running_loop().time()

    @property
    def seconds(self) -> float:
        return (asyncio.get_running_loop().time() - self._began) * self._faster

    async def sleep(self, seconds: float = 1) -> None:
        await asyncio.sleep(seconds / self._faster)

    @asynccontextmanager
    async def limit(self, seconds: float) -> AsyncIterator[None]:
        async with asyncio.timeout(seconds / self._faster):
            yield
