"""uvicorn, with our class for the carts' sockets, a bound on request heads, and a tidy end."""

import asyncio
import gc
import resource
import signal
import socket
from typing import Any, Final, cast

import structlog
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from duckycart.hardware.socket import HardwareSocket
from duckycart.settings import Settings

log = structlog.get_logger()

MAX_HEAD: Final = 32_768  # bytes of request line and headers
HEAD_SECONDS: Final = 15.0  # for the first request's head to arrive
STOP_SECONDS: Final = 10  # for requests in flight when the server stops
SPARE_FILES: Final = 64  # database, log, listeners


class BoundedHttp(HttpToolsProtocol):
    """uvicorn's HTTP, which by itself waits for ever for a request head of any size."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))
        self._head = 0  # bytes of the head so far, -1 while none is expected
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def data_received(self, data: bytes) -> None:
        if self._head >= 0:
            self._head += len(data)
        super().data_received(data)
        if self._head > MAX_HEAD:
            self._head = -1
            self.send_400_response("The request head is too large.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head = max(self._head, 0)

    def on_headers_complete(self) -> None:
        self._head = -1
        self._head_timer.cancel()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._head = 0

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_timer.cancel()
        super().connection_lost(exc)


class Server(uvicorn.Server):
    """Tells the carts before it waits for them."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        app = cast(FastAPI, self.config.app)
        app.state.house.dispatch.draining = True
        log.info("stopping", carts=len(app.state.house.dispatch.links))
        await super().shutdown(sockets)
        log.info("stopped")


def make_server(app: FastAPI, settings: Settings, *, loop: Any = "uvloop") -> Server:
    """A server that is not yet started."""
    return Server(
        uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            http=BoundedHttp,
            ws=cast(Any, HardwareSocket),
            loop=loop,
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # duckycart.addresses does that, for carts and phones alike
            ssl_certfile=settings.tls_cert,
            ssl_keyfile=settings.tls_key,
            timeout_graceful_shutdown=STOP_SECONDS,
            backlog=4096,
        )
    )


def raise_file_limit() -> int:
    """As many open files as this process may have; returns how many carts that allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 1_048_576 if hard == resource.RLIM_INFINITY else hard
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (ValueError, OSError):
        wanted = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return max(0, wanted - SPARE_FILES)


def run(app: FastAPI, settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then stop tidily and return."""
    # uvicorn raises the signal again when all is closed; for us that is the end of the work, not a death.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    # A full collection takes 100 ms with thousands of carts. What is loaded now stays for ever, and links leave no
    # cycles, so the collector is asked seldom.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    make_server(app, settings).run()
