"""The door accepts connections: a few in each turn of the event loop.

asyncio's own server and uvloop's accept all that wait at once; and when the process has no descriptor left, uvloop
closes whoever comes, a cart too, and nobody hears of it.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final, cast

import structlog

from duckycart.addresses import parse, within
from duckycart.first_byte import HANDSHAKE, Refused, first_byte
from duckycart.guards.crowd import Crowd
from duckycart.guards.places import Places
from duckycart.settings import Network

log = structlog.get_logger()

A_TURN: Final = 16  # connections taken in one turn of the event loop
NO_DESCRIPTOR_SECONDS: Final = 0.1  # until the next try, when the process has none left
TLS_SECONDS: Final = 10.0  # for a client to come through its TLS handshake
TLS_CLOSE_SECONDS: Final = 3.0  # for it to end TLS when we close
IN_TLS: Final = 512  # handshakes under way, or a quarter of all places; over that whoever has most gives up first

_NONE_LEFT: Final = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Door:
    """Accepts what comes to one listening socket, which belongs to the door from now on. In place of an
    `asyncio.Server`."""

    def __init__(
        self,
        listening: socket.socket,
        make_protocol: Callable[[], asyncio.Protocol],
        places: Places,
        tls: ssl.SSLContext | None,
        plain: Iterable[Network] = (),
    ) -> None:
        """Begin to accept. On a port of TLS, whoever begins without it is served too when it comes from one of the
        networks `plain`."""
        self._loop = asyncio.get_running_loop()
        self._listening = listening
        self._make_protocol = make_protocol
        self._places = places
        self._tls = tls
        self._plain = tuple(plain)
        self._arriving: Crowd[asyncio.Task[None]] = Crowd()  # by address
        self._later: asyncio.TimerHandle | None = None
        listening.setblocking(False)
        self._open()

    def _open(self) -> None:
        self._later = None
        self._loop.add_reader(self._listening.fileno(), self._accept)

    def _accept(self) -> None:
        for _ in range(A_TURN):
            try:
                accepted, peer = self._listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _NONE_LEFT:
                    self._no_descriptor(error)
                    return
                continue  # that client is gone already
            self._let_in(accepted, peer[0] if isinstance(peer, tuple) else "")

    def _no_descriptor(self, error: OSError) -> None:
        self._places.ran_short(f"the process has no descriptor left ({error.strerror})")
        self._places.make_room()
        self._loop.remove_reader(self._listening.fileno())
        self._later = self._loop.call_later(NO_DESCRIPTOR_SECONDS, self._open)

    def _let_in(self, accepted: socket.socket, address: str) -> None:
        task = self._loop.create_task(self._connect(accepted, address))
        if self._tls is not None and len(self._arriving) >= min(IN_TLS, max(1, self._places.places // 4)):
            self._places.ran_short("TLS handshakes", address)
            (self._arriving.to_make_room_for(address) or task).cancel()
        self._arriving.add(task, address)
        task.add_done_callback(lambda ended: self._arrived(ended, accepted))

    def _arrived(self, ended: asyncio.Task[None], accepted: socket.socket) -> None:
        self._arriving.discard(ended)
        if ended.cancelled():
            accepted.close()
        elif (error := ended.exception()) is not None:
            accepted.close()
            if not isinstance(error, OSError):  # ssl.SSLError is one: whoever came did not come through
                log.error("a connection could not be taken in", exc_info=error)

    async def _connect(self, accepted: socket.socket, address: str) -> None:
        accepted.setblocking(False)
        with suppress(OSError):
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        make_protocol = self._make_protocol
        plain = self._tls is None
        if self._tls is not None and self._plain:
            first = await first_byte(accepted)
            if not first:
                accepted.close()
                return
            plain = first != HANDSHAKE
            if plain and not within(parse(address), self._plain):
                make_protocol = Refused
        if plain:
            self._arriving.discard(cast(Any, asyncio.current_task()))  # from here on it ends by itself
            await self._loop.connect_accepted_socket(make_protocol, accepted)
        else:
            await self._loop.connect_accepted_socket(
                make_protocol,
                accepted,
                ssl=self._tls,
                ssl_handshake_timeout=TLS_SECONDS,
                ssl_shutdown_timeout=TLS_CLOSE_SECONDS,
            )

    def close(self) -> None:
        """Accept nobody any more. Handshakes of TLS that are under way go on. May be called twice."""
        if self._later is not None:
            self._later.cancel()
            self._later = None
        if self._listening.fileno() >= 0:
            self._loop.remove_reader(self._listening.fileno())
            self._listening.close()

    async def wait_closed(self) -> None:
        """End the TLS handshakes that are still under way, and wait for nobody."""
        arriving = tuple(self._arriving.in_turn())
        for task in arriving:
            task.cancel()
        await asyncio.gather(*arriving, return_exceptions=True)
