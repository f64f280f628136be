"""Corrections of a clock, and a shop that lives through one."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Literal, Self

import httpx2

from duckycart.testing.clock import ManualClock
from duckycart.testing.furnish import MILK
from duckycart.tokens import ScreenToken
from tests.conftest import OpenShop
from tests.world import Shop

HOURS: Final = 3600
YEARS: Final = 365 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Correction:
    when: Literal["running", "restarted", "rebooted"]  # the server goes on, or starts anew, or its machine too
    seconds: int  # by which the time of day is set forward

    def __str__(self) -> str:
        return f"{self.when} {self.seconds:+}"


# NTP sets what was behind at boot (F51), or what ran ahead (F50); by minutes, hours and years.
CORRECTIONS: Final = [
    Correction("running", 13 * HOURS),
    Correction("running", -300),
    Correction("running", -10 * YEARS),
    Correction("restarted", 10 * YEARS),
    Correction("restarted", -13 * HOURS),
    Correction("rebooted", 13 * HOURS),
    Correction("rebooted", -10 * YEARS),
]


class Set:
    """A shop on one database whose clock is set."""

    def __init__(self, opening: OpenShop, correction: Correction) -> None:
        self._opening = opening
        self._correction = correction
        self.clock = ManualClock()
        self._opened: AbstractAsyncContextManager[Shop] = self._open()
        self.shop: Shop

    def _open(self) -> AbstractAsyncContextManager[Shop]:
        return self._opening(
            clock=self.clock, offline_carts="accept", address_per_minute=10_000, sign_in_per_minute=10_000
        )

    async def __aenter__(self) -> Self:
        self.shop = await self._opened.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._opened.__aexit__(kind, error, traceback)

    async def __call__(self) -> Shop:
        """Set the clock; then whatever goes on by itself in a shop has gone on."""
        before = self.shop
        if self._correction.when == "running":
            self.clock.correct(self._correction.seconds)
        else:
            await self._opened.__aexit__(None, None, None)
            self.clock.correct(self._correction.seconds)
            if self._correction.when == "rebooted":
                self.clock.boot()
            self._opened = self._open()
            self.shop = await self._opened.__aenter__()
            self.shop.keys = before.keys
        await settle(self.shop)
        return self.shop

    async def passes(self, seconds: float) -> None:
        """Time that really passes, and what it brings about."""
        self.clock.move(seconds)
        await settle(self.shop)


async def settle(shop: Shop) -> None:
    await shop.sweep()
    await shop.inside.channels.sweep()
    await shop.housekeeping()


async def guest(shop: Shop, cart_id: int = 1) -> tuple[dict[str, str], int]:
    """Headers of a guest, and its session with milk in the basket."""
    qr = await shop.qr(cart_id)
    signed_in = await shop.http.post("/auth/guest", json={"token": qr})
    headers = {"Authorization": f"Bearer {signed_in.json()['access_token']}"}
    session_id = (await shop.scan(qr, headers)).json()["session_id"]
    assert (await shop.add(session_id, cart_id=cart_id)).status_code == 200
    return headers, session_id


def screen_token(shop: Shop, session_id: int) -> dict[str, str]:
    """Headers of the session's screen, as its stream gives them."""
    return {"Authorization": f"Bearer {shop.inside.tokens.screen(ScreenToken(session_id))}"}


async def keyed_add(shop: Shop, session_id: int, key: str = "one") -> httpx2.Response:
    """The cart adds milk, under an Idempotency-Key."""
    return await shop.http.post(
        "/cart-items/add",
        json={"sessionID": session_id, "barcode": MILK},
        headers={**shop.cart_headers(), "Idempotency-Key": key},
    )


async def units(shop: Shop, session_id: int, headers: dict[str, str]) -> Any:
    """How many things are in the basket; None where it may not be read."""
    answer = await shop.http.get(f"/cart-items/session/{session_id}", headers=headers)
    return answer.json()["item_count"] if answer.status_code == 200 else None


def here(shop: Shop, url: str) -> str:
    """The pay page's URL on the port of this run."""
    return f"{shop.url}/pay/{url.rpartition('/')[2]}"
