"""Argon2 for people's passwords, away from the event loop. Carts' keys are random and need only SHA-256."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Final

from pwdlib import PasswordHash

from duckycart import names

_argon2: Final = PasswordHash.recommended()


def hash_password(password: str) -> str:
    """Takes tens of milliseconds on purpose. The same of a password in whatever Unicode form it is typed."""
    return _argon2.hash(names.password(password))


@cache
def _nobody() -> str:
    """Checked for unknown users, so that they cost the same time."""
    return hash_password("")


class Passwords:
    """Two threads, so that a crowd signing in never takes all cores from the carts."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="argon2")

    async def hash(self, password: str) -> str:
        return await asyncio.get_running_loop().run_in_executor(self._threads, hash_password, password)

    async def check(self, password: str, password_hash: str | None) -> bool:
        """Whether it is the password; `None` (no such user, or one without a password) takes as long and is False.

        It may have been kept in another Unicode form, before there was one for all: each is tried, whatever comes of
        the others, so that the time says nothing.
        """
        kept = password_hash or _nobody()
        right = await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: [_argon2.verify(form, kept) for form in names.password_forms(password)]
        )
        return any(right) and password_hash is not None

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
