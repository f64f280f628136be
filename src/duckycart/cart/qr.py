"""A cart offers its QR while nobody shops with it."""

import asyncio
import base64
import json
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from random import Random
from typing import Final

import httpx2

from duckycart.cart.backoff import Backoff
from duckycart.cart.driver import Driver
from duckycart.cart.setback import Setback, refused, sentence_of, unreachable
from duckycart.clock import Clock

MARGIN: Final = 15.0  # seconds before its end at which a QR is replaced: somebody may be about to scan it
_DAY: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Qr:
    url: str  # what the picture holds
    lifetime: float  # seconds, from the server's answer


async def get_qr(http: httpx2.AsyncClient, cart_id: int, clock: Clock) -> Qr | Setback:
    """Ask the server for this cart's QR. Before it answers, it sends `generate_qr` over the cart's socket."""
    try:
        response = await http.get(f"/customer-session/qr/{cart_id}")
    except httpx2.HTTPError as error:
        return unreachable(error)
    if response.status_code != httpx2.codes.OK:
        setback = refused(response.status_code, response.headers.get("Retry-After"))
        return Setback(sentence_of(response) or setback.sentence, setback.at_least)
    try:
        token = response.json()
        lifetime = _lifetime(response, token, clock)
    except (ValueError, OverflowError, RecursionError):
        return Setback("The server's answer is not a QR token.")
    if lifetime <= 0:
        return Setback("The server's QR is over already: its clock or this cart's is wrong.")
    # A server that names no URL means the token itself: the shoppers' app reads both.
    link = response.links.get("alternate", {}).get("url")
    return Qr(str(response.url.join(link)) if link else token, min(lifetime, _DAY))


def _lifetime(response: httpx2.Response, token: object, clock: Clock) -> float:
    """Return for how many seconds the QR can be scanned, as the server says. Raises ValueError where it says nothing
    usable.

    Only one that does not say so is asked for the times of two clocks, which may be set in between.
    """
    expiry = _expiry(token)
    seconds = response.headers.get("Qr-Seconds", "")
    if seconds.isascii() and seconds.isdigit():
        return float(seconds)
    return expiry - _server_time(response, clock)


def _expiry(token: object) -> float:
    """Return the `exp` of a JWT, in seconds since 1970; its signature is the server's business. Raises ValueError where
    there is none."""
    if not isinstance(token, str) or token.count(".") != 2:
        raise ValueError("not a JWT")
    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    expires = claims.get("exp") if isinstance(claims, dict) else None
    if isinstance(expires, bool) or not isinstance(expires, int | float) or not math.isfinite(expires):
        raise ValueError("no exp")
    return float(expires)


def _server_time(response: httpx2.Response, clock: Clock) -> float:
    """Return what the server's clock says, in seconds since 1970: small computers may wake up in 1970 themselves."""
    try:
        return parsedate_to_datetime(response.headers["Date"]).timestamp()
    except (KeyError, ValueError):
        return clock.now() / 1000


class QrOffer:
    """Keeps a valid QR on display from `begin` to `withdraw`, in a task of its own.

    The socket goes on being read while the server thinks about a QR, and `withdraw` cancels the task: an
    answer that comes after a session began finds nobody who could draw it.
    """

    def __init__(
        self,
        ask: Callable[[], Awaitable[Qr | Setback]],
        driver: Driver,
        online: asyncio.Event,  # set while the cart's socket is open: without it the server gives no QR
        tasks: asyncio.TaskGroup,
        sleep: Callable[[float], Awaitable[None]],
        random: Random,
    ) -> None:
        self._ask = ask
        self._driver = driver
        self._online = online
        self._tasks = tasks
        self._sleep = sleep
        self._random = random
        self._task: asyncio.Task[None] | None = None  # None: nothing is offered
        self._asking = False  # a request is on its way
        self._url: str | None = None  # of the QR on display

    def begin(self) -> None:
        """Ask for a QR now, even if one is up: a session that came and went meanwhile made that one void."""
        self._cancel()
        self._task = self._tasks.create_task(self._keep_valid())

    def withdraw(self) -> None:
        """Take the QR down, since somebody shops."""
        self._cancel()
        self._url = None

    def show(self) -> None:
        """Draw the QR that there is, because `generate_qr` came. If our own request caused it, its answer will do
        that."""
        if not self._asking:
            self._driver.show_qr(self._url)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._task = None
        self._asking = False

    async def _keep_valid(self) -> None:
        backoff = Backoff(self._random)
        while True:
            await self._online.wait()
            self._asking = True
            answer = await self._ask()
            self._asking = False
            if isinstance(answer, Qr):
                backoff.succeeded()
                self._url = answer.url
                self.show()
                # However short a server makes them, it is not asked more than once a second.
                delay = max(answer.lifetime - MARGIN, answer.lifetime / 2, 1.0)
            else:
                self._take_down()
                delay = backoff.delay(answer.at_least)
                self._driver.notice(f"No QR: {answer.sentence} Asking again in {delay:.1f} s.")
            await self._sleep(delay)
            if not self._online.is_set():
                self._take_down()

    def _take_down(self) -> None:
        """Take the QR down before it ends: nobody shall scan one that the server will not renew in time."""
        if self._url is not None:
            self._url = None
            self._driver.show_idle()
