"""A checkout is transaction, provider, transaction. What breaks off in between is taken up again."""

import asyncio
from collections.abc import Awaitable
from typing import Final, TypeVar

import structlog
from sqlalchemy import Connection

from duckycart.errors import Conflict, DuckyCartError
from duckycart.lifecycle.access import Who
from duckycart.lifecycle.payments import (
    FREE,
    Opened,
    Payment,
    close_payment,
    create_payment,
    fail_payment,
    keep_ref,
    open_payment,
    session_is_active,
    settle_free,
    unsettled_payments,
)
from duckycart.lifecycle.rules import Rules
from duckycart.lifecycle.webhooks import record_event
from duckycart.providers.protocol import (
    NoAnswer,
    NoLongerCancellable,
    OpenedPayment,
    Provider,
    ProviderError,
)
from duckycart.refusals import ABSURD_WEBHOOK, PROVIDER_FAILED
from duckycart.store.states import Heeded, PaymentState
from duckycart.store.transaction import Store, Transaction

log = structlog.get_logger()
T = TypeVar("T")

ASKING_SECONDS: Final = 60  # a payment still in creating after this was left there: by a crash, or without an answer
AT_ONCE: Final = 20  # payments that the reconciler takes to the provider together
ROUND_SECONDS: Final = 10  # after which it begins no more of them, so that a provider that hangs holds up little else


class Checkout:
    """Creates, settles and reconciles payments with one provider."""

    def __init__(self, store: Store, rules: Rules, provider: Provider, provider_seconds: float, url: str) -> None:
        self._store = store
        self._clock = store.clock
        self._rules = rules
        self.provider = provider
        self._provider_seconds = provider_seconds
        self._url = url  # of this server, for the page of what costs nothing
        self._reconciled = 0  # the id up to which the present pass has come

    async def create(self, who: Who, session_id: int, method: str | None) -> Opened | Payment:
        """Have a payment of the basket open at the provider: returns `Opened` if this call opened it, else the one
        there was.

        Two calls at once both ask the provider, with one idempotency key, and one of them opens it. Raises what
        `create_payment` raises, and ProviderFailed when the provider did not do it, or did not say so: then nothing was
        sent to the cart. In the second case the payment is still being created: the next call asks again, with the same
        key, and so does the reconciler. The provider is not asked for a basket that costs nothing (F53): its payment is
        paid, and its session over, when this returns.
        """

        def begin(tx: Transaction) -> Opened | Payment:
            payment = create_payment(tx, who, session_id, self.provider.name, method, self._rules)
            if (payment.provider, payment.state) == (FREE, PaymentState.CREATING):
                return settle_free(tx, payment, f"{self._url}/pay/{payment.token}", self._rules)
            return payment

        begun = await self._store.write(begin)
        return await self._open(begun) if isinstance(begun, Payment) and begun.state is PaymentState.CREATING else begun

    async def _open(self, payment: Payment) -> Opened:
        opened = await self._ask(payment)
        try:
            return await self._store.write(lambda tx: open_payment(tx, payment.id, opened))
        except Conflict:
            # Ended or failed meanwhile: nobody must be able to pay it.
            await self._give_up(payment, opened.ref)
            raise

    async def _ask(self, payment: Payment) -> OpenedPayment:
        """Have the provider open the payment. Raises ProviderFailed, and only after a refusal has the payment failed
        (F37)."""
        try:
            return await self._limited(self.provider.open(payment.token, payment.amount, payment.currency))
        except ProviderError as error:
            log.warning("provider failed", payment=payment.id, session=payment.session_id, reason=str(error)[:200])
            if not isinstance(error, NoAnswer):
                await self._store.write(lambda tx: fail_payment(tx, payment.id))
            raise PROVIDER_FAILED() from error

    async def record(self, headers: dict[str, str], body: bytes) -> str:
        """Act upon a webhook. Raises BadRequest, having changed nothing, when it is not the provider's.

        Raises BadRequest too for one that makes no sense, having stored it; and Unavailable, having stored nothing,
        when the provider must send it again (see `record_event`).
        """
        event = self.provider.event(headers, body)
        name, text = (
            self.provider.name,
            body.decode(errors="replace").replace("\0", "\ufffd"),
        )  # PostgreSQL keeps no NUL
        outcome = await self._store.write(lambda tx: record_event(tx, name, event, text, self._rules))
        log.info("webhook", provider=name, id=event.event_id, type=event.type, outcome=outcome)
        if outcome is Heeded.ABSURD:
            raise ABSURD_WEBHOOK()
        return outcome

    async def reconcile(self) -> None:
        """Take up payments that were left: open what a crash left behind, and cancel at the provider what must not be
        paid any more.

        One that cannot be helped is logged and keeps nobody else waiting. A round begins nothing more once
        ROUND_SECONDS are over; the next one goes on where it stopped, so that everything has its turn.
        """
        end = self._clock.monotonic() + ROUND_SECONDS
        while found := await self._store.read(self._unsettled):
            await asyncio.gather(*(self._take_up(payment) for payment in found))
            self._reconciled = found[-1].id
            if self._clock.monotonic() >= end:
                return
        self._reconciled = 0

    def _unsettled(self, connection: Connection) -> list[Payment]:
        steady = self._clock.steady()
        return unsettled_payments(connection, steady, self._rules, ASKING_SECONDS, self._reconciled, AT_ONCE)

    async def _take_up(self, payment: Payment) -> None:
        try:
            await self._reconcile(payment)
        except DuckyCartError as error:
            log.warning("payment not reconciled", payment=payment.id, reason=error.code)
        except Exception:
            log.exception("payment not reconciled", payment=payment.id)

    async def _reconcile(self, payment: Payment) -> None:
        if payment.provider_ref is not None:
            await self._cancel(payment, payment.provider_ref)
            return
        active = await self._store.read(lambda c: session_is_active(c, payment.session_id))
        expired = payment.created_at < self._clock.steady() - self._rules.payment_seconds * 1000
        if active and not expired:
            await self._open(payment)
        else:
            # It may exist at the provider; asking with the same key names it, so that it can be cancelled.
            await self._give_up(payment, (await self._ask(payment)).ref)

    async def _give_up(self, payment: Payment, ref: str) -> None:
        """Keep the payment's name first, so that it is found again if it cannot be cancelled now, or was paid
        already."""
        await self._store.write(lambda tx: keep_ref(tx, payment.id, ref))
        await self._cancel(payment, ref)

    async def _cancel(self, payment: Payment, ref: str) -> None:
        """Close the payment only when the provider has cancelled it (F37); until then it stays open and is tried
        again."""
        try:
            await self._limited(self.provider.cancel(ref))
        except NoLongerCancellable:
            log.warning("payment was paid already, waiting for its webhook", payment=payment.id)
        except ProviderError as error:
            log.warning("payment not cancelled", payment=payment.id, reason=str(error)[:200])
        else:
            await self._store.write(lambda tx: close_payment(tx, payment.id))

    async def _limited(self, call: Awaitable[T]) -> T:
        """Return the provider's answer. Raises NoAnswer after the time limit, and where the network failed."""
        try:
            async with asyncio.timeout(self._provider_seconds):
                return await call
        except TimeoutError as error:
            raise NoAnswer(f"no answer within {self._provider_seconds} s") from error
        except OSError as error:
            raise NoAnswer(f"no answer: {error}") from error
