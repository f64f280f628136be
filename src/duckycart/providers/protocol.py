"""This protocol is what a payment provider must be able to do, whoever it is.

Calls are made outside any transaction, with a time limit, several at once, and repeat safely: `token` is the
idempotency key, so asking twice for one payment opens one payment. A refusal and no answer are two things (F37): after
a refusal of `open` nothing exists that could be paid; after no answer nobody knows, and the provider is asked again.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Outcome(StrEnum):
    """What a provider's webhook says of a payment."""

    SUCCEEDED = "succeeded"
    DECLINED = "declined"  # this attempt; the payment stays open for another
    CANCELLED = "cancelled"  # over at the provider: it can never be paid any more
    UNKNOWN = "unknown"  # stored and logged, changes nothing (F10)
    ABSURD = "absurd"  # signed, but it makes no sense: stored, with an alarm, and refused (F54)


@dataclass(frozen=True, slots=True)
class OpenedPayment:
    """A payment that exists at the provider."""

    ref: str  # the provider's name for it
    url: str  # where the shopper pays


@dataclass(frozen=True, slots=True)
class ProviderEvent:
    """A webhook whose signature was right."""

    event_id: str  # the same for a repetition of the same event
    type: str  # the provider's own word
    outcome: Outcome
    ref: str | None
    amount: int | None  # minor units
    currency: str | None  # ISO 4217, upper case


class ProviderError(Exception):
    """The provider refused: nothing was done, and the provider said so."""


class NoAnswer(ProviderError):
    """Nobody knows whether the provider did what was asked: the answer took too long, was cut off or made no sense.

    Also for an answer that speaks of this call alone (too many at once, a failure within): an earlier one may have
    reached it.
    """


class NoLongerCancellable(ProviderError):
    """The payment was already paid; its success is on its way as a webhook."""


class Provider(Protocol):
    name: str

    async def open(self, token: str, amount: int, currency: str) -> OpenedPayment:
        """Open a payment of `amount` minor units; the same `token` opens the same one.

        Raises NoAnswer; ProviderError only when no payment of this token exists there.
        """

    async def cancel(self, ref: str) -> None:
        """End a payment so that it can never be paid; one that was cancelled already is a success.

        Raises ProviderError, NoAnswer; NoLongerCancellable for one that is paid.
        """

    def event(self, headers: dict[str, str], body: bytes) -> ProviderEvent:
        """Read a webhook. Raises errors.BadRequest for a wrong signature or form, having changed nothing."""
