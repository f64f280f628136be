"""The sandbox is a provider that takes no money: a page with Pay and Decline, and signed webhooks like a real one's."""

import hmac
import json
import re
from collections.abc import Callable
from hashlib import sha256
from secrets import token_hex
from typing import Final, TypeGuard

from duckycart.json_text import NotJson, read_json
from duckycart.providers.protocol import OpenedPayment, Outcome, ProviderEvent
from duckycart.refusals import (
    BAD_SIGNATURE,
    BAD_WEBHOOK,
    NOT_SIGNED,
    OLD_SIGNATURE,
    UNNAMED_WEBHOOK,
    UNREADABLE_WEBHOOK,
)

SIGNATURE: Final = "sandbox-signature"  # header: t=<steady seconds>,v1=<hex HMAC-SHA256 of "<t>.<body>">
TOLERANCE_SECONDS: Final = 300

_NAME: Final = re.compile(r"[!-~]{1,120}")
_TYPES: Final = {
    "payment.succeeded": Outcome.SUCCEEDED,
    "payment.declined": Outcome.DECLINED,
    "payment.cancelled": Outcome.CANCELLED,
}


class Sandbox:
    """A `Provider` whose payments are our own, so that it has nobody to ask and nothing to cancel."""

    name = "sandbox"

    def __init__(self, public_url: str, signing_key: bytes, steady: Callable[[], int]) -> None:
        """Sign and check webhooks with a key made from `signing_key`; `steady` reads the shop's steady clock, in
        milliseconds: one clock for both."""
        self._url = public_url
        self._secret = hmac.digest(signing_key, b"sandbox webhook", "sha256")
        self._steady = steady

    async def open(self, token: str, amount: int, currency: str) -> OpenedPayment:
        return OpenedPayment(token, f"{self._url}/pay/{token}")

    async def cancel(self, ref: str) -> None:
        return None

    def webhook(self, event_type: str, ref: str, amount: int, currency: str) -> tuple[dict[str, str], bytes]:
        """Return headers and body of the webhook that the page's buttons send."""
        body = json.dumps(
            {"id": f"evt_{token_hex(12)}", "type": event_type, "payment": ref, "amount": amount, "currency": currency}
        ).encode()
        return {SIGNATURE: self.sign(body), "content-type": "application/json"}, body

    def sign(self, body: bytes) -> str:
        seconds = self._steady() // 1000
        return f"t={seconds},v1={self._mac(seconds, body)}"

    def event(self, headers: dict[str, str], body: bytes) -> ProviderEvent:
        self._check(headers.get(SIGNATURE, ""), body)
        try:
            event = read_json(body)
        except NotJson as error:
            raise UNREADABLE_WEBHOOK(why=error) from error
        if not isinstance(event, dict):
            raise BAD_WEBHOOK()
        event_id, event_type = event.get("id"), event.get("type")
        if not (_is_name(event_id) and _is_name(event_type)):
            raise UNNAMED_WEBHOOK()
        ref, amount, currency = event.get("payment"), event.get("amount"), event.get("currency")
        if (
            (ref is None or _is_name(ref))
            and (amount is None or type(amount) is int)
            and (currency is None or isinstance(currency, str))
        ):
            outcome = _TYPES.get(event_type, Outcome.UNKNOWN)
            return ProviderEvent(event_id, event_type, outcome, ref, amount, currency)
        return ProviderEvent(event_id, event_type, Outcome.ABSURD, None, None, None)

    def _check(self, signature: str, body: bytes) -> None:
        parts = dict(part.partition("=")[::2] for part in signature.split(","))
        seconds = parts.get("t", "")
        if not seconds.isascii() or not seconds.isdigit() or len(seconds) > 12:
            raise NOT_SIGNED()
        right = self._mac(int(seconds), body)
        if not hmac.compare_digest(right.encode(), parts.get("v1", "").encode()):
            raise BAD_SIGNATURE()
        if abs(self._steady() // 1000 - int(seconds)) > TOLERANCE_SECONDS:
            raise OLD_SIGNATURE()

    def _mac(self, seconds: int, body: bytes) -> str:
        return hmac.new(self._secret, b"%d." % seconds + body, sha256).hexdigest()


def _is_name(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and _NAME.fullmatch(value) is not None
