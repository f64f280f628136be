"""The program keeps one cart's link to the server open for as long as it runs, and the shopping with it going."""

import asyncio
import logging
import secrets
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random, SystemRandom
from typing import Final

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from duckycart.cart.address import ANSWER_SECONDS, base_url, believed, caller
from duckycart.cart.backoff import Backoff
from duckycart.cart.driver import Driver
from duckycart.cart.journal import Damaged, Journal, Kept
from duckycart.cart.machine import Action, CartState, Situation, obey
from duckycart.cart.qr import QrOffer, get_qr
from duckycart.cart.session import Session
from duckycart.cart.setback import Setback, closed, refused, unreachable
from duckycart.clock import Clock, SystemClock
from duckycart.wire import NotACommand, decode

_BIGGEST: Final = 2**16  # bytes of a frame; a command has less than 100

# Not the library's own logger: at DEBUG that one writes the handshake's headers, the cart's key among them.
_quiet = logging.getLogger("duckycart.cart.socket")
_quiet.setLevel(logging.INFO)


class _Connect(connect):
    """Follows no redirect: the library would take the cart's key along to wherever it leads."""

    def process_redirect(self, exc: Exception) -> Exception:
        return exc


class CartProgram:
    """Connects as one cart, does what the server commands, and comes back whenever the connection is gone."""

    def __init__(
        self,
        cart_id: int,
        url: str,
        driver: Driver,
        *,
        key: str | None = None,  # None where the server lets carts in without one
        ask_for_qr: bool = True,  # False where a screen shows the QR
        journal: Path | None = None,  # the file that keeps where the cart stands; None: nothing is kept
        tolerance: int = 15,  # grams of difference that are none
        tls: ssl.SSLContext | None = None,  # None: whatever the machine trusts
        clock: Clock | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        random: Random | None = None,
        heartbeat: float = 20,  # seconds between pings, and until a pong must be there
        goodbye: float = 3,  # seconds the server has to answer a close
    ) -> None:
        """Make the program for one cart. Raises ValueError, with a sentence for people, for a URL or a key that cannot
        be one."""
        if key is not None and not (key.isascii() and key.isprintable() and key.strip() == key != ""):
            raise ValueError("the key must be visible ASCII characters without spaces around them")
        self._base = base_url(url)
        self._socket_url = f"ws{str(self._base).removeprefix('http').rstrip('/')}/ws/hardware/{cart_id}"
        self._driver = driver
        self._ask_for_qr = ask_for_qr
        self._clock = clock or SystemClock()
        self._sleep = sleep
        self._heartbeat = heartbeat
        self._goodbye = goodbye
        # A new boot id tells the server that this cart's memory is gone; on calls, whose calls they are.
        self._headers = {} if key is None else {"X-API-Key": key}
        self._headers["Cart-Boot-Id"] = secrets.token_hex(16)
        # One context for both, so that what the store's SSL_CERT_FILE trusts holds for socket and HTTP.
        self._tls = believed(self._base, tls)
        self._http = caller(self._base, self._headers, self._tls)
        random = random or SystemRandom()
        self._backoff = Backoff(random)
        self._tasks = asyncio.TaskGroup()
        self._online = asyncio.Event()  # set while the socket is open
        ask = partial(get_qr, self._http, cart_id, self._clock)
        self._offer = QrOffer(ask, driver, self._online, self._tasks, sleep, random)
        self.situation = Situation()
        self._kept = Kept(cart_id, str(self._base))  # while nobody shops
        self._journal = None if journal is None else Journal(journal, self._not_kept)
        self._cannot_keep = False  # and it was said
        self._session = Session(
            self._http,
            cart_id,
            driver,
            tolerance=tolerance,
            keep=self._keep,
            kept=self._written,
            stands=self._server_says,
            sleep=sleep,
            random=random,
        )

    async def run(self) -> None:
        """Connect and obey the server until cancelled, and then close the connection with 1000. Not to be called twice.

        An exception of the driver comes out in an ExceptionGroup.
        """
        async with self._http, self._tasks:
            self._driver.show_idle()
            self._resume()
            self._tasks.create_task(self._session.run())
            self._tasks.create_task(self._driver.run(self._session.heard))
            while True:
                setback = await self._one_connection()
                delay = self._backoff.delay(setback.at_least)
                self._driver.connection(False, f"{setback.sentence} Next try in {delay:.1f} s.")
                await self._sleep(delay)

    async def _one_connection(self) -> Setback:
        """Connect and hear commands until the close; returns why there is no connection any more."""
        try:
            connection = await _Connect(
                self._socket_url,
                additional_headers=self._headers,
                ssl=self._tls,
                proxy=None,
                compression=None,  # it would cost both ends more memory than the commands have bytes
                open_timeout=ANSWER_SECONDS,
                ping_interval=self._heartbeat,
                ping_timeout=self._heartbeat,
                close_timeout=self._goodbye,
                max_size=_BIGGEST,
                logger=_quiet,
            )
        except InvalidStatus as error:
            headers = error.response.headers
            return refused(error.response.status_code, next(iter(headers.get_all("Retry-After")), None))
        except (OSError, WebSocketException) as error:
            return unreachable(error)
        opened = self._clock.monotonic()
        try:
            self._online.set()
            self._session.online()
            self._driver.connection(True, f"Connected to {self._base}.")
            self._offer_qr()
            async for frame in connection:
                self._hear(frame)
        except ConnectionClosed:
            pass  # whether the library takes it for an error or not: the close code tells
        finally:
            self._online.clear()
            await connection.close()
        self._backoff.was_open(self._clock.monotonic() - opened)
        return closed(connection.close_code)

    def _hear(self, frame: str | bytes) -> None:
        """Do what a frame says. One that is no command is shown and ignored: the next may be good."""
        try:
            if isinstance(frame, bytes):
                raise NotACommand("not a text frame")
            command = decode(frame)
        except (NotACommand, RecursionError) as error:
            self._driver.notice(f"A frame that is no command was ignored: {error}.")
            return
        self.situation, actions = obey(self.situation, command)
        for action in actions:
            self._act(action)
        if Action.RETURN_TO_IDLE in actions:
            self._offer_qr()
        self._keep()

    def _act(self, action: Action) -> None:
        session_id = self.situation.session_id
        match action:
            case Action.SHOW_QR:
                self._offer.show()
            case Action.START_SHOPPING:
                assert session_id is not None
                self._offer.withdraw()
                self._driver.start_shopping(session_id)
                self._session.begin(session_id)
            case Action.HOLD_FOR_PAYMENT:
                assert session_id is not None
                self._driver.hold_for_payment(session_id)
                self._session.hold()
            case Action.RETURN_TO_IDLE:
                self._session.end()
                self._driver.return_to_idle()

    def _offer_qr(self) -> None:
        if self._ask_for_qr and self.situation.session_id is None:
            self._offer.begin()

    # Over a reboot

    def _resume(self) -> None:
        """Be where the journal says that the cart stood, until the server says otherwise."""
        if self._journal is None:
            return
        try:
            kept = self._journal.read()
        except (Damaged, OSError) as error:
            self._driver.notice(f"What the cart had kept cannot be used, so it begins anew: {error}.")
            return
        if kept is None or kept.situation.session_id is None:
            return
        if (kept.cart_id, kept.server) != (self._kept.cart_id, self._kept.server):
            self._driver.notice(f"What was kept is of cart {kept.cart_id} at {kept.server}, and is not used.")
            return
        self.situation = kept.situation
        session_id = kept.situation.session_id
        self._driver.start_shopping(session_id)
        self._session.resume(session_id, kept.tare, kept.calls)
        if kept.situation.state is CartState.HELD:
            self._driver.hold_for_payment(session_id)
            self._session.hold()

    def _server_says(self, session_id: int | None) -> None:
        """End a session that was resumed, if the server says that the cart is in another, or in none.

        A boot is told what it lacks, and of a session that ended while the cart was off, a new boot lacks nothing.
        """
        if self.situation.session_id not in (None, session_id):
            self.situation = Situation()
            self._act(Action.RETURN_TO_IDLE)
            self._offer_qr()
            self._keep()

    def _keep(self) -> None:
        if self._journal is not None:
            kept = self._kept
            if self.situation.session_id is not None:  # nobody's QR is worth a write
                tare, calls = self._session.to_keep()
                kept = replace(kept, situation=self.situation, tare=tare, calls=calls)
            self._journal.keep(kept)

    async def _written(self) -> None:
        if self._journal is not None:
            await self._journal.kept()

    def _not_kept(self, error: OSError) -> None:
        if not self._cannot_keep:
            self._cannot_keep = True
            self._driver.notice(f"The cart cannot keep where it stands, and would forget it: {error}.")
