"""`duckycart cart check` tries everything that a cart needs, once, and says what to do about each failure."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

import httpx2

from duckycart.cart.address import ANSWER_SECONDS, base_url, believed, caller
from duckycart.cart.setback import refused, sentence_of, unreachable

if TYPE_CHECKING:
    from duckycart.cart.drivers import Several

CLOCKS_APART: Final = 60.0  # seconds; more, and certificates and logs are wrong soon
SOON_DAYS: Final = 14  # to the end of a certificate


@dataclass(frozen=True, slots=True)
class Found:
    """What was found of one thing."""

    what: str
    sentence: str
    well: bool = True


async def check(
    cart_id: int, url: str, key: str | None, tls: ssl.SSLContext | None, drivers: "Several"
) -> AsyncIterator[Found]:
    """Yield what was found of the server, its certificate, the clock, the key and each driver."""
    base = base_url(url)
    context = believed(base, tls)
    async with caller(base, {} if key is None else {"X-API-Key": key}, context) as http:
        try:
            answer = await http.get("/readyz")
        except httpx2.HTTPError as error:
            yield Found(
                "server",
                f"{unreachable(error).sentence} Is {url} its address, and the cart in its network?",
                well=False,
            )
        else:
            for found in _of_server(answer, url):
                yield found
            if context is not None:
                yield await _certificate(base.host, base.port or 443, context)
            yield _clock(answer)
            yield await _key(http, cart_id, key)
    for name, sentence, well in await drivers.checks():
        yield Found(f"driver {name}", sentence, well)


def _of_server(answer: httpx2.Response, url: str) -> list[Found]:
    try:
        state = answer.json()
        version = state.get("version", "") if isinstance(state, dict) else None
    except ValueError:
        version = None
    if version is None or answer.status_code not in (200, 503):
        return [Found("server", f"What answers at {url} is no cart server ({answer.status_code}).", well=False)]
    if answer.status_code == 503:
        return [Found("server", "It is there, and not ready; its operator finds why at /readyz.", well=False)]
    return [Found("server", f"It is ready at {url}.")]


async def _certificate(host: str, port: int, context: ssl.SSLContext) -> Found:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
    except (OSError, TimeoutError) as error:
        return Found("certificate", f"It cannot be read: {error}.", well=False)
    shown = writer.get_extra_info("peercert") or {}
    writer.close()
    days = (ssl.cert_time_to_seconds(shown["notAfter"]) - time.time()) / 86_400
    sentence = f"It is believed, for {days:.0f} days more."
    if days < SOON_DAYS:
        return Found("certificate", f"{sentence} Have it renewed.", well=False)
    return Found("certificate", sentence)


def _clock(answer: httpx2.Response) -> Found:
    try:
        theirs = parsedate_to_datetime(answer.headers["Date"]).timestamp()
    except (KeyError, ValueError):
        return Found("clock", "The server does not say what time it is.", well=False)
    apart = time.time() - theirs
    if abs(apart) > CLOCKS_APART:
        side = "ahead of" if apart > 0 else "behind"
        sentence = f"This cart's clock is {abs(apart):.0f} s {side} the server's: timedatectl set-ntp true"
        return Found("clock", sentence, well=False)
    return Found("clock", "It agrees with the server's.")


async def _key(http: httpx2.AsyncClient, cart_id: int, key: str | None) -> Found:
    try:
        answer = await http.get(f"/customer-session/cart-status/{cart_id}")
    except httpx2.HTTPError as error:
        return Found("key", unreachable(error).sentence, well=False)
    if answer.status_code == httpx2.codes.OK:
        return Found("key", f"It opens cart {cart_id}.")
    if key is None and answer.status_code == httpx2.codes.UNAUTHORIZED:
        return Found("key", "There is none here: set key in the cart's file, or DUCKYCART_KEY.", well=False)
    sentence = sentence_of(answer) or refused(answer.status_code, None).sentence
    return Found("key", f"{sentence} `duckycart carts rotate-key {cart_id}` at the server makes a new one.", well=False)
