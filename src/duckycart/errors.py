"""One tree of errors. Each is a kind (what a client should do about it), a code (which it is) and a plain sentence.

    DuckyCartError
    ├── BadRequest          400  the request cannot be understood
    ├── Unauthenticated     401  no credential, a malformed or an expired one; never anything else
    ├── Forbidden           403  a valid credential without the right
    ├── NotFound            404  not there, or not yours to know of
    ├── Conflict            409  understood, allowed, but not in this state
    ├── Gone                410  it was valid once
    ├── Invalid             422  the body cannot be read, and why
    ├── Mismatch            422  the same Idempotency-Key for another request
    ├── TooManyRequests     429  come back later
    ├── ProviderFailed      502  the payment provider did not do it; nothing was sent
    └── Unavailable         503  the server cannot do it now; nothing changed

Business code raises these; `api/errors.py` is the one place that turns them into HTTP.
"""

from typing import ClassVar


class DuckyCartError(Exception):
    """`code` is stable and for programs, `detail` is a sentence for people, `fields` go into the answer beside them."""

    status: ClassVar[int] = 500

    def __init__(self, code: str, detail: str, *, retry_after: int | None = None, **fields: str | int | None) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.retry_after = retry_after  # seconds; only for errors that pass by themselves
        self.fields = fields


class BadRequest(DuckyCartError):
    status = 400


class Unauthenticated(DuckyCartError):
    status = 401


class Forbidden(DuckyCartError):
    status = 403


class NotFound(DuckyCartError):
    status = 404


class Conflict(DuckyCartError):
    status = 409


class Gone(DuckyCartError):
    status = 410


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
