"""People's passwords are kept as Argon2, away from the event loop. Carts' keys are random and need only SHA-256."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Final

from pwdlib import PasswordHash

from duckycart import names

_argon2: Final = PasswordHash.recommended()


def hash_password(password: str) -> str:
    """Return the hash of a password, in whatever Unicode form it is typed. Takes tens of milliseconds on purpose."""
    return _argon2.hash(names.password(password))


@cache
def _nobody() -> str:
    """Return a hash to check for unknown users, so that they cost the same time."""
    return hash_password("")


class Passwords:
    """Two threads that hash, so that a crowd signing in never takes all cores from the carts."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="argon2")

    async def hash(self, password: str) -> str:
        return await asyncio.get_running_loop().run_in_executor(self._threads, hash_password, password)

    async def check(self, password: str, password_hash: str | None) -> bool:
        """Return whether it is the password; for the hash `None` (no such user, or one without a password) False, after
        as long.

        The hash may be of another Unicode form, from before there was one for all: each is tried, whatever comes of the
        others, so that the time says nothing.
        """
        kept = password_hash or _nobody()
        right = await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: [_argon2.verify(form, kept) for form in names.password_forms(password)]
        )
        return any(right) and password_hash is not None

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
