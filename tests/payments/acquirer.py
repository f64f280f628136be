"""A payment provider that the test drives: it can be slow, fail, refuse to cancel, and say anything by webhook."""

import asyncio
import json
from itertools import count
from typing import Any

import httpx2

from duckycart.clock import Clock
from duckycart.providers.protocol import NoLongerCancellable, OpenedPayment, Outcome, ProviderError, ProviderEvent
from duckycart.refusals import BAD_SIGNATURE
from duckycart.settings import Settings
from tests.world import Shop

MILK_PRICE = 1250


async def state(shop: Shop, session_id: int) -> list[str]:
    """Of the session's payments, in order."""
    return [row.state for row in await shop.payment_rows(session_id)]


async def types(shop: Shop) -> list[str]:
    """Of the cart's commands, in order."""
    return [row[1] for row in await shop.commands()]


class Acquirer:
    """See `Provider`. Keeps a real one's promises: one payment per idempotency key, cancelled or paid, not both."""

    name = "acquirer"

    def __init__(self) -> None:
        self.payments: dict[str, str] = {}  # ref: open, cancelled or paid
        self.calls: list[str] = []
        self.fails = False
        self.cancel_fails = False
        self.answer_lost: Exception | None = None  # it opens the payment, and this is all that is heard of it
        self.answering = asyncio.Event()
        self.answering.set()
        self._events = count(1)

    def __call__(self, settings: Settings, signing_key: bytes, clock: Clock) -> "Acquirer":
        """Stands for the factory that the composition root takes."""
        return self

    async def open(self, token: str, amount: int, currency: str) -> OpenedPayment:
        self.calls.append("open")
        if self.fails:
            raise ProviderError("the acquirer is down")
        await self.answering.wait()
        ref = f"acq-{token}"
        self.payments.setdefault(ref, "open")
        if self.answer_lost is not None:
            raise self.answer_lost
        return OpenedPayment(ref, f"https://pay.example/{ref}")

    async def cancel(self, ref: str) -> None:
        self.calls.append("cancel")
        await self.answering.wait()
        if self.cancel_fails:
            raise ProviderError("the acquirer is down")
        if self.payments[ref] == "paid":
            raise NoLongerCancellable(ref)
        self.payments[ref] = "cancelled"

    def event(self, headers: dict[str, str], body: bytes) -> ProviderEvent:
        if headers.get("signature") != "right":
            raise BAD_SIGNATURE()
        said = json.loads(body)
        outcome = Outcome(said["outcome"]) if said["outcome"] in set(Outcome) else Outcome.UNKNOWN
        return ProviderEvent(
            said["id"], said["outcome"], outcome, said.get("ref"), said.get("amount"), said.get("currency")
        )

    async def say(self, shop: Shop, outcome: str, **said: Any) -> httpx2.Response:
        """Send a webhook; every one has an id of its own unless `id` is given."""
        body = {"id": f"evt-{next(self._events)}", "outcome": outcome, "currency": "EGP", **said}
        if outcome == "succeeded" and "ref" in said:
            self.payments[said["ref"]] = "paid"
        return await shop.http.post("/payment/webhook/acquirer", json=body, headers={"signature": "right"})

    @property
    def ref(self) -> str:
        """The newest payment's."""
        return list(self.payments)[-1]
