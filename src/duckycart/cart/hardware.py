"""Hardware that is pulled out comes back: it is opened again and again, and both are said once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

from duckycart.cart.driver import Tell
from duckycart.cart.heard import Noticed

AGAIN_SECONDS: Final = 1.0  # between two tries to open what is not there


async def kept_open(name: str, read: Callable[[], AsyncIterator[str]], tell: Tell, use: Callable[[str], None]) -> None:
    """Give `use` each line that `read` yields, until cancelled. `read` opens the hardware, and raises OSError when it
    is not there, or not any more; then it is called again."""
    missing = False
    while True:
        try:
            async for line in read():
                if missing:
                    missing = False
                    tell(Noticed(f"The {name} is back."))
                use(line)
            return  # a stream that ended by itself
        except OSError as error:
            if not missing:
                missing = True
                tell(Noticed(f"The {name} cannot be read, and is tried again each second: {_why(error)}."))
        await asyncio.sleep(AGAIN_SECONDS)


def _why(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__
