"""This module ends a connection whose other side does not read."""

import asyncio
from typing import Final

import structlog

log = structlog.get_logger()

UNREAD_SECONDS: Final = 30.0  # for what the kernel does not take any more to go out
LOOKS: Final = 6  # in that time


class MustRead:
    """A protocol that is dropped when its other side leaves something unread for UNREAD_SECONDS, also while it closes:
    a transport that is told to close waits for ever for a peer that does not read."""

    _looking: asyncio.TimerHandle | None = None
    _unread_looks = 0  # that found something unread, one after the other

    def _watch(self, transport: asyncio.Transport) -> None:
        """Look from now on, until `_watch_no_more`."""
        self._looking = asyncio.get_running_loop().call_later(UNREAD_SECONDS / LOOKS, self._look, transport)

    def _look(self, transport: asyncio.Transport) -> None:
        self._unread_looks = self._unread_looks + 1 if transport.get_write_buffer_size() else 0
        if self._unread_looks > LOOKS:
            log.warning("connection dropped, its other side does not read")
            transport.abort()
        else:
            self._watch(transport)

    def _watch_no_more(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
