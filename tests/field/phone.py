"""A shopper's phone: it repeats whatever it lost the answer of, a scan above all."""

import asyncio

from duckycart.testing.caller import Answer, Caller, Lost
from duckycart.testing.endpoint import Endpoint


class Phone:
    def __init__(self, user_id: int, headers: dict[str, str], endpoint: Endpoint) -> None:
        self.user_id = user_id
        self.endpoint = endpoint
        self.headers = headers
        self._call = Caller(endpoint, headers)
        self.sessions: list[int] = []  # that it was told it has, in order
        self.payments: dict[int, set[int]] = {}  # by session: which it was told of
        self.repeated = 0
        self.wrong: list[str] = []

    async def scan(self, token: str) -> int | None:
        """The session, None if the QR started none for this phone."""
        answer = await self._insist("POST", "/customer-session/scan-qr", {"token": token})
        if not answer.ok:
            if answer.code not in ("cart_busy", "cart_offline", "qr_void", "qr_expired"):
                self._complain("scanned", answer)
            return None
        session_id = int(answer.body["session_id"])
        if answer.body["user_id"] != self.user_id or not answer.body["is_active"]:
            self._complain("scanned", answer)
        self.sessions.append(session_id)
        return session_id

    async def active(self, session_id: int) -> bool:
        """Whether its session still lasts."""
        answer = await self._insist("GET", f"/customer-session/{session_id}")
        if not answer.ok or answer.body["user_id"] != self.user_id:
            self._complain(f"asked for session {session_id}", answer)
        return bool(answer.body["is_active"])

    async def peek(self, session_id: int) -> None:
        """Into another's session, of which it must not be told."""
        for path in ("/customer-session/", "/cart-items/session/", "/payment/get-payment/"):
            answer = await self._insist("GET", f"{path}{session_id}")
            if answer.status != 404:
                self._complain(f"peeked at session {session_id}", answer)

    async def pay(self, session_id: int) -> str | None:
        """Where to pay; None if there is nothing to pay or the session is over."""
        answer = await self._insist("POST", f"/payment/create-payment/{session_id}")
        if not answer.ok:
            if answer.code not in ("basket_empty", "session_over"):
                self._complain(f"wanted to pay session {session_id}", answer)
            return None
        self.payments.setdefault(session_id, set()).add(answer.body["payment_id"])
        return str(answer.body["payment_url"])

    async def press(self, payment_url: str, button: str) -> None:
        """A button of the sandbox's page."""
        answer = await self._insist("POST", f"/pay/{payment_url.rsplit('/', 1)[1]}/{button}")
        if answer.status != 303:
            self._complain(f"pressed {button}", answer)

    async def end(self, session_id: int) -> bool:
        """Whether the session is over now: its basket was empty."""
        answer = await self._insist("POST", f"/customer-session/{session_id}/end")
        if not answer.ok and answer.code not in ("session_over", "basket_not_empty"):
            self._complain(f"ended session {session_id}", answer)
        return answer.ok or answer.code == "session_over"

    async def _insist(self, method: str, path: str, body: object = None) -> Answer:
        while True:
            try:
                return await self._call(method, path, body)
            except Lost:
                self.repeated += 1
                await asyncio.sleep(0)

    def _complain(self, what: str, answer: Answer) -> None:
        self.wrong.append(f"phone of user {self.user_id} {what}: {answer}")

    @property
    def lost(self) -> int:
        return self._call.lost

    def leave(self) -> None:
        self._call.close()
