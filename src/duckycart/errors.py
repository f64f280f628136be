"""Errors are one tree: each is a kind (what a client should do about it), a code (which it is) and a plain sentence.

    DuckyCartError
    ├── BadRequest          400  the request cannot be understood
    ├── Unauthenticated     401  no credential, a malformed or an expired one; never anything else
    ├── Forbidden           403  a valid credential without the right
    ├── NotFound            404  not there, or not yours to know of
    ├── MethodNotAllowed    405  the address takes another method
    ├── Conflict            409  understood, allowed, but not in this state
    ├── Gone                410  it was valid once
    ├── TooLarge            413  the body is over the limit
    ├── TooLong             414  the query string is over the limit
    ├── Invalid             422  the body cannot be read, and why
    ├── Mismatch            422  the same Idempotency-Key for another request
    ├── TooManyRequests     429  come back later
    ├── ProviderFailed      502  the payment provider did not do it; nothing was sent
    └── Unavailable         503  the server cannot do it now; nothing changed

What is refused, and in which words, is written once, as a `Refusal` (refusals.py). Business code raises it, and
`api/errors.py` is the one place that turns the error into HTTP.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, TypeVar

Kind = TypeVar("Kind", bound="DuckyCartError")


@dataclass(frozen=True, slots=True, eq=False)
class Refusal(Generic[Kind]):
    """One thing that is refused: code raises it, endpoints declare it, documents print it.

    Calling it makes the error, as in `raise QR_VOID(cart_id=7)`. Two refusals are the same only if they are one object.
    """

    kind: type[Kind]
    code: str  # stable, for programs
    sentence: str  # for people; `{names}` in it are filled in from the values of a call
    fields: tuple[str, ...] = ()  # which of those values the answer shows beside the sentence
    retry_after: int | None = None  # seconds; only of what passes by itself

    def __call__(self, *, retry_after: int | None = None, **values: Any) -> Kind:
        """Return the error to raise. `retry_after` is for a wait that is known only now."""
        return self.kind(
            self,
            self.sentence.format(**values) if values else self.sentence,
            {name: values[name] for name in self.fields if name in values},
            retry_after or self.retry_after,
        )

    def saying(self, sentence: str) -> "Refusal[Kind]":
        """Return a refusal of this kind and code in other words, for a place that knows more."""
        return replace(self, sentence=sentence)


class DuckyCartError(Exception):
    """Something was refused. A `Refusal` makes the error of its kind; nothing else does."""

    status: ClassVar[int] = 500

    def __init__(
        self, refusal: Refusal[Any], detail: str, fields: dict[str, Any], retry_after: int | None = None
    ) -> None:
        super().__init__(detail)
        self.refusal = refusal
        self.code = refusal.code
        self.detail = detail  # the refusal's sentence, filled in
        self.fields = fields  # go into the answer beside them
        self.retry_after = retry_after  # seconds; only of what passes by itself


class BadRequest(DuckyCartError):
    status = 400


class Unauthenticated(DuckyCartError):
    status = 401


class Forbidden(DuckyCartError):
    status = 403


class NotFound(DuckyCartError):
    status = 404


class MethodNotAllowed(DuckyCartError):
    status = 405


class Conflict(DuckyCartError):
    status = 409


class Gone(DuckyCartError):
    status = 410


class TooLarge(DuckyCartError):
    status = 413


class TooLong(DuckyCartError):
    status = 414


class Invalid(DuckyCartError):
    status = 422


class Mismatch(DuckyCartError):
    status = 422


class TooManyRequests(DuckyCartError):
    status = 429


class ProviderFailed(DuckyCartError):
    status = 502


class Unavailable(DuckyCartError):
    status = 503
