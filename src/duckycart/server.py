"""The server is uvicorn's, with our class for the carts' sockets, a bound on request heads, and a tidy end."""

import asyncio
import errno
import gc
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from ssl import CERT_NONE, SSLContext, SSLObject
from typing import Any, Final, cast

import structlog
import uvicorn
from fastapi import FastAPI
from uvicorn.config import create_ssl_context
from uvicorn.lifespan.on import LifespanOn
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from duckycart.addresses import bucket, parse, within
from duckycart.api.limits import declared_length
from duckycart.channels.screen_socket import ScreenSocket
from duckycart.errors import DuckyCartError
from duckycart.guards.door import Door
from duckycart.guards.heads import EmptyLines
from duckycart.guards.places import SPARE_FILES
from duckycart.guards.turns import InTurns
from duckycart.guards.unread import MustRead
from duckycart.handshake import origin_form
from duckycart.hardware.drain import drain
from duckycart.hardware.socket import HardwareSocket, asks_for_cart, begins_for_cart
from duckycart.notify import notify, watchdog_seconds
from duckycart.settings import Settings
from duckycart.shop import LifespanState, Shop
from duckycart.timers import every
from duckycart.upgrades import UpgradingHttp
from duckycart.whole_answers import WholeAnswers

log = structlog.get_logger()

MAX_HEAD: Final = 32_768  # bytes of request line and headers
HEAD_SECONDS: Final = 15.0  # for a request's head to arrive, the first one's from the connection on
BODY_SECONDS: Final = 30.0  # for its body to arrive after that
AHEAD: Final = 16  # requests that were sent ahead are answered at once, if a client goes on like that
AHEAD_SECONDS: Final = 0.05  # from one to the next after these: each takes 0.3 ms of everybody's time, and more
MAX_WIRE: Final = 524_288  # bytes of a body as it comes, in chunks of whatever size: eight times what it may hold
MAX_TEXT: Final = 4096  # bytes of a message from a screen, which owes nothing
CLOSE_SECONDS: Final = 1.0  # for each step of the end: last requests, handshakes of screens, closes, half-sent bodies
STOP_SECONDS: Final = 10  # for requests in flight when the server stops
ANY_IPV6: Final = "::"
BACKLOG: Final = 65_535  # connections that wait in the kernel for us, as far as it allows: all carts, over a restart
MAX_IDLE: Final = 1000  # connections kept for a next request; over that the one that waited longest is closed
TOO_MANY: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
)


class HeldBack(FlowControl):
    """Flow control of one HTTP connection, as uvicorn asks for it when an answer is slow to go out or a body to be
    used; only whether to stop reading is decided by `InTurns`, which has reasons of its own."""

    def __init__(self, transport: asyncio.Transport, go_on: Callable[[], None]) -> None:
        super().__init__(transport)
        self.go_on: Callable[[], None] | None = go_on  # None after the end: it holds the connection that holds this

    def pause_reading(self) -> None:
        self.read_paused = True

    def resume_reading(self) -> None:
        self.read_paused = False
        if self.go_on is not None:
            self.go_on()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.go_on is not None:
            self.go_on()


class State(ServerState):
    """uvicorn's state, and the connections that wait for a next request, the longest waiting first."""

    def __init__(self) -> None:
        super().__init__()
        self.idle: dict[BoundedHttp, None] = {}


class BoundedHttp(InTurns, MustRead, UpgradingHttp):
    """uvicorn's HTTP with bounds. By itself it waits for ever for a request, for a head of any size, and for a client
    to read; and it parses all that a client sends ahead.

    Here a request is parsed when the one before it is answered and the answer has gone out. A new connection whose
    first bytes are a cart's is read when the turnstile lets it in.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        UpgradingHttp.__init__(self, *args, **kwargs)
        InTurns.__init__(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        UpgradingHttp.connection_made(self, cast(asyncio.Transport, transport))
        self.flow = HeldBack(self.transport, self._go_on)
        self._answers = WholeAnswers(self.transport, self.loop)
        self._watch(self.transport)
        self._shop: Shop = self.app_state["shop"]
        self._places = self._shop.places
        peer = parse(self.client[0] if self.client else None)
        proxied = within(peer, self._shop.settings.trusted_proxies)
        address = "" if peer is None else bucket(peer)
        self._places.enter(self.transport, address, self._idle, bounded=not proxied)
        self._empty_lines = EmptyLines()
        self._in_body = False  # of a request whose end has not come
        self._left: int | None = 0  # bytes of that body that have not come; None if it comes in chunks
        self._wire = 0  # bytes of it that came
        self._ahead = 0  # requests that had come before the one before them was answered, one after the other
        self._pause: asyncio.TimerHandle | None = None  # before the next of these
        self._upgraded = False  # to a WebSocket, and this is not the connection's protocol any more
        self._head = 0  # bytes of the head so far, -1 while none is expected
        self._timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)  # for the head, then for the body
        self._unread: bytes | None = b""  # of a cart that waits; None once anything was read

    def data_received(self, data: bytes) -> None:
        if self._unread is None:
            self._came(data)
            return
        first = not self._unread
        self._unread += data
        if len(self._unread) > MAX_HEAD or not begins_for_cart(self._unread):
            if self._places.settle(self.transport, self._idle):
                self._read_all()
            else:
                self._refuse(TOO_MANY)
        elif first:
            self._places.knock(self.transport)
            if not self._shop.connector.turnstile.enter(self._read_all):
                self._refuse(TOO_MANY)

    def _read_all(self) -> None:
        unread, self._unread = self._unread, None
        if unread is not None and not self.transport.is_closing():
            self._came(unread)

    def _refuse(self, answer: bytes) -> None:
        self.transport.write(answer)
        self.transport.close()

    def _open_transport(self) -> asyncio.Transport | None:
        return None if self.transport.is_closing() else self.transport

    def _idle(self) -> bool:
        """Return whether this connection waits for its client: to ask, to send the rest of a body, to read."""
        return self.cycle is None or self.cycle.response_complete or self.cycle.more_body or self.flow.write_paused

    def _holding(self) -> bool:
        answering = self.cycle is not None and not self.cycle.response_complete
        paused = answering or self._pause is not None or self.flow.write_paused
        return self.flow.read_paused or (not self._in_body and paused)

    def _parse(self, data: bytes, begin: int, end: int) -> int:
        if self._in_body and self._left is not None:
            end = min(end, begin + self._left)
            self._left -= end - begin
        else:
            end = self._empty_lines.end_of_part(data, begin, end)
        self._feed(data[begin:end])
        if self._upgraded:
            self._at = end
            self.loop.call_soon(self._hand_over, self._stop())
        return end

    def _feed(self, data: bytes) -> None:
        if self._head >= 0:
            self._head += len(data)
        else:
            self._wire += len(data)
        UpgradingHttp.data_received(self, data)
        if self._head > MAX_HEAD:
            self._head = -1
            self.send_400_response("The request head is too large.")
        elif self._wire > MAX_WIRE:
            self.transport.close()  # it was answered, or nobody reads so much

    def handle_websocket_upgrade(self) -> None:
        self._upgraded = True
        # In the form that is handed on: what is a cart's address only when unescaped once more is a bad one of a cart.
        target = origin_form(self.url)
        if asks_for_cart(target):
            self.connections.discard(self)
            cart = HardwareSocket(self.config, self.server_state, self.app_state)
            cart.connection_made(self.transport)
            self.transport.set_protocol(cart)
            cart.open(target, self.headers)
        else:
            super().handle_websocket_upgrade()
        self._watch_no_more()
        cast(HeldBack, self.flow).go_on = None
        self.parser = None  # type: ignore[assignment]  # as uvicorn does at the end; it and we hold each other

    def _hand_over(self, rest: bytes) -> None:
        """Hand what came behind the head of an upgrade to the protocol that has the connection now."""
        if not self.transport.is_closing():
            self.transport.resume_reading()
            if rest:
                cast(asyncio.Protocol, self.transport.get_protocol()).data_received(rest)

    def on_message_begin(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            raise RuntimeError("a request within what was taken for one")  # HTTP/0.9: uvicorn answers 400
        super().on_message_begin()
        self._head = max(self._head, 0)
        self._expect(HEAD_SECONDS)

    def on_headers_complete(self) -> None:
        self._head = -1
        self._timer.cancel()
        super().on_headers_complete()
        if self.cycle is not None:
            self.cycle.transport = cast(asyncio.Transport, self._answers)
        if self.cycle is not None and self._shop.connector.draining:
            self.cycle.keep_alive = False  # the next request is for another connection, of the next process or node
        if self.cycle is not None and self.cycle.keep_alive:
            # A client that heeds this sends nothing in the very moment in which we close.
            hint = b"timeout=%d" % (self.timeout_keep_alive - max(1, self.timeout_keep_alive // 15))
            self.cycle.default_headers = [*self.cycle.default_headers, (b"keep-alive", hint)]
        if self.cycle is not None and self.cycle.more_body:  # not so for a WebSocket, which has a class of its own
            self._expect(BODY_SECONDS)
            self._in_body = True
            self._left = None if b"transfer-encoding" in dict(self.headers) else declared_length(self.headers)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._timer.cancel()
        self._head = 0
        self._in_body = False
        self._wire = 0
        self._empty_lines.forget()

    def on_response_complete(self) -> None:
        self._ahead = self._ahead + 1 if self._waiting else 0
        if self._ahead > AHEAD and not self.transport.is_closing():
            self._pause = self.loop.call_later(AHEAD_SECONDS, self._end_pause)
        super().on_response_complete()
        if self.timeout_keep_alive_task is not None:
            self._wait_for_next()
        self._go_on()

    def _end_pause(self) -> None:
        self._pause = None
        self._go_on()

    def _wait_for_next(self) -> None:
        idle = cast(State, self.server_state).idle
        idle[self] = None
        if len(idle) > MAX_IDLE:
            longest = next(iter(idle))
            del idle[longest]
            longest.transport.close()

    def _unset_keepalive_if_required(self) -> None:
        super()._unset_keepalive_if_required()
        cast(State, self.server_state).idle.pop(self, None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        if self._pause is not None:
            self._pause.cancel()
        self._stop()
        self._watch_no_more()
        self._places.leave(self.transport)
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        cast(HeldBack, self.flow).go_on = None

    def shutdown(self) -> None:
        super().shutdown()
        self.loop.call_later(CLOSE_SECONDS, self._give_up)

    def _give_up(self) -> None:
        """Wait no longer for a client that may be gone: to end TLS, to read an answer, to send the rest of a body."""
        if self.transport.is_closing() or (self.cycle is not None and self.cycle.more_body):
            self.transport.abort()

    def _expect(self, seconds: float) -> None:
        self._timer.cancel()
        self._timer = self.loop.call_later(seconds, self.transport.close)


class Beginning(LifespanOn):
    """uvicorn's part of the lifespan, which says in a sentence what in the database keeps the server from starting;
    uvicorn and Starlette would show a traceback, whatever it was."""

    async def send(self, message: Any) -> None:
        if message["type"] == "lifespan.startup.failed" and isinstance(error := sys.exception(), DuckyCartError):
            reason = f" ({error.__cause__})" if error.__cause__ is not None else ""
            message = {**message, "message": f"The server cannot start: {error.detail}{reason}"}
        await super().send(message)


class Server(uvicorn.Server):
    """Takes connections in through the `Door`. Carts and screens hear of the end before anybody waits for them, and no
    request that is on its way when the server stops is lost."""

    _watchdog: asyncio.Task[None] | None = None  # says that the loop turns, where somebody waits for that

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.server_state: State = State()

    @property
    def _shop(self) -> Shop:
        return cast(LifespanState, self.lifespan.state)["shop"]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=[])
        for listening in sockets or ():
            door = Door(
                listening, self._connection, self._shop.places, self.config.ssl, self._shop.settings.plain_carts
            )
            self.servers.append(cast(Any, door))
        if self.started:
            notify("READY=1")
        if (seconds := watchdog_seconds()) is not None:
            self._watchdog = asyncio.create_task(every(seconds, "watchdog", lambda: notify("WATCHDOG=1")))

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self.take_up_certificate)
        with super().capture_signals():
            yield

    def take_up_certificate(self) -> None:
        """Show those who connect from now on the certificate that the files hold now; connections that are open go on.

        What cannot be used changes nothing.
        """
        config = self.config
        if config.ssl is None or config.ssl_certfile is None:
            log.info("SIGHUP: there is no certificate to take up anew")
            return
        try:
            renewed = create_ssl_context(
                config.ssl_certfile, config.ssl_keyfile, None, config.ssl_version, CERT_NONE, None, config.ssl_ciphers
            )
        except OSError as error:  # ssl.SSLError is one
            log.error("certificate not renewed, the one before stays", reason=error.strerror or str(error))
            return

        def show(connection: SSLObject, name: str | None, context: SSLContext) -> None:
            connection.context = renewed

        config.ssl.sni_callback = show
        log.info("certificate renewed")

    def _connection(self) -> asyncio.Protocol:
        return BoundedHttp(self.config, self.server_state, self.lifespan.state)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        shop = self._shop
        notify("STOPPING=1")
        shop.connector.draining = True
        log.info("stopping", carts=len(shop.dispatch.links))
        if shop.heartbeat is not None and await shop.heartbeat.others():
            # Still listening: others take over, and until the last cart is gone requests and screens are served.
            await drain(shop.dispatch, shop.store, shop.settings.drain_per_second, lambda: self.force_exit)
        for listening in self.servers:
            listening.close()  # our part in it: who connects now waits for the next process, if somebody keeps it open
        await self._last_requests()
        shop.channels.stop()
        await self._until(lambda: not any(map(_is_opening, self.server_state.connections)))
        asyncio.get_running_loop().call_later(CLOSE_SECONDS, self._abort_screens)
        await super().shutdown(sockets)
        log.info("stopped")

    async def _last_requests(self) -> None:
        """Hear out the connections that are kept alive: a request may be on its way, and nobody else will answer it.

        Each answer says from now on that its connection closes. One that stays silent is closed by uvicorn afterwards.
        """
        for connection in self.server_state.connections:
            if isinstance(connection, BoundedHttp) and connection.cycle is not None:
                connection.cycle.keep_alive = False
        await self._until(lambda: not any(map(_is_idle, self.server_state.connections)))

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Wait for the condition, CLOSE_SECONDS at the most, and no longer than somebody at the console waits."""
        loop = asyncio.get_running_loop()
        end = loop.time() + CLOSE_SECONDS
        while not condition() and loop.time() < end and not self.force_exit:  # noqa: ASYNC110 - as uvicorn does
            await asyncio.sleep(0.02)

    def _abort_screens(self) -> None:
        """Break the connections of screens that have not read our close frame by now; uvicorn's own class would wait
        for them."""
        for connection in tuple(self.server_state.connections):
            if isinstance(connection, WebSocketsSansIOProtocol):
                connection.transport.abort()


def _is_idle(connection: object) -> bool:
    """Return whether the connection waits for a request, or for the rest of one."""
    return isinstance(connection, BoundedHttp) and (connection.cycle is None or connection.cycle.response_complete)


def _is_opening(connection: object) -> bool:
    """Return whether the connection is a screen's whose handshake is not answered. uvicorn would refuse it now, and a
    fielded screen never come back."""
    return isinstance(connection, WebSocketsSansIOProtocol) and not connection.handshake_complete


def make_server(app: FastAPI, settings: Settings, *, loop: Any = "uvloop") -> Server:
    """Return a server that is not yet started."""
    return Server(
        uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            http=BoundedHttp,
            ws=ScreenSocket,  # and carts: `BoundedHttp` tells them apart
            ws_max_size=MAX_TEXT,
            ws_per_message_deflate=False,  # a screen's messages are short; compressing costs 30 KiB for each screen
            loop=loop,
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # duckycart.addresses does that, for carts and phones alike
            ssl_certfile=settings.tls_cert,
            ssl_keyfile=settings.tls_key,
            timeout_keep_alive=settings.keep_alive_seconds,
            timeout_graceful_shutdown=STOP_SECONDS,
            backlog=BACKLOG,
        )
    )


def raise_file_limit() -> int:
    """Allow as many open files as this process may have; returns how many carts that allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 1_048_576 if hard == resource.RLIM_INFINITY else hard
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (ValueError, OSError):
        wanted = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return max(0, wanted - SPARE_FILES)


class CannotListen(SystemExit):
    """The process ends with this sentence on standard error and exit code 1."""


def listener(address: Any, family: int = socket.AF_INET, *, both: bool = False) -> socket.socket:
    """Return a socket that listens there; with `both`, on every address of IPv6, for IPv4 too. Raises OSError.

    The socket names TCP as its protocol, which `create_server` leaves out: else asyncio (not uvloop) would let the
    kernel hold back the second half of each answer for 40 ms.
    """
    made = socket.create_server(address, family=family, backlog=BACKLOG, dualstack_ipv6=both)
    return socket.socket(made.family, made.type, socket.IPPROTO_TCP, fileno=made.detach())


def listen(server: Server, inherited: Sequence[socket.socket] = ()) -> list[socket.socket]:
    """Return the server's sockets: those it was handed, else one for each address of its host.

    Raises CannotListen with a sentence.
    """
    config = server.config
    try:
        config.load()
    except OSError as error:  # ssl.SSLError is one
        raise CannotListen(f"The certificate or its key cannot be used: {error.strerror or error}") from error
    config.lifespan_class = Beginning
    return list(inherited) or _listen(config.host, config.port)


def _listen(host: str, port: int) -> list[socket.socket]:
    """Return one socket for each address of `host`, all on one port. An address of a name that this machine does not
    have is left out: `localhost` may be IPv4 and IPv6, and one of them be switched off."""
    listeners: list[socket.socket] = []
    failed: OSError | None = None
    try:
        found = dict.fromkeys(
            (family, address[:2]) for family, *_, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
    except OSError as error:
        found, failed = {}, error
    for family, (address, _) in found:
        both = host == ANY_IPV6 and socket.has_dualstack_ipv6()
        try:
            listeners.append(listener((address, port), family, both=both))
        except OSError as error:
            failed = error
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                while listeners:
                    listeners.pop().close()
                break
        else:
            port = listeners[0].getsockname()[1]
    if not listeners:
        reason = "" if failed is None else failed.strerror
        raise CannotListen(f"Cannot listen on {host}, port {port}: {reason}") from failed
    return listeners


def where(listening: socket.socket) -> str:
    """Return the address as people write it: ADDRESS:PORT."""
    if listening.family == socket.AF_UNIX:
        return str(listening.getsockname())
    address, port, *_ = listening.getsockname()
    if listening.family != socket.AF_INET6:
        return f"{address}:{port}"
    both = not listening.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    return f"[{address}]:{port}" + (" (and IPv4)" if both else "")


def run(app: FastAPI, settings: Settings, inherited: Sequence[socket.socket] = ()) -> None:
    """Serve until SIGTERM or SIGINT, on sockets that were `inherited` if there are any; stop tidily and return."""
    # A full collection takes 100 ms with thousands of carts. What is loaded now stays for ever, and links leave no
    # cycles, so the collector is asked seldom for more than what is new; that it looks through by 10,000 objects, which
    # takes 3 ms. Not even now: a start would take a tenth longer, for 200 KiB.
    gc.freeze()
    gc.set_threshold(10_000, 100, 100)
    server = make_server(app, settings)
    # uvicorn takes signals while it serves, and raises them again when all is closed. For us that is the end of the
    # work, not a death; and one that comes before it serves must not be lost.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, server.handle_exit)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until it serves
    listening = listen(server, inherited)
    log.info("listening", addresses=[where(it) for it in listening])
    server.run(listening)
