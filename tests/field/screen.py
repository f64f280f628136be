"""A fielded screen: a web page on the cart that knows no credential, only the doors for legacy screens.

It opens two sockets per session. One it closes when it is paid; the other it forgets, which reconnects every 3 s for
ever. Each gives up for good after one refused attempt. It goes back to its QR when it is paid, or when a read is
answered 401; whatever else it is told leaves it in its session.
"""

import json
from typing import Any

from duckycart.testing.blockable import BlockableSocket, Gone, Refused
from duckycart.testing.caller import Caller, Lost, read_head
from duckycart.testing.endpoint import Endpoint
from tests.field.pace import Pace, Tasks

AGAIN_SECONDS = 3
PAID, FAILED, CREATED = "Payment successful", "payment-failed", "Payment created"
STALE = "Bearer of.some.session"  # it sends what it once had; nobody may mind


class FieldedScreen:
    def __init__(self, cart_id: int, endpoint: Endpoint, pace: Pace, tasks: Tasks) -> None:
        self.cart_id = cart_id
        self.endpoint = endpoint
        self.pace = pace
        self._tasks = tasks
        self._call = Caller(endpoint, {})
        self.sockets: dict[int, tuple[SessionSocket, SessionSocket]] = {}  # by session: the page's, the forgotten one
        self.tokens: dict[int, str] = {}
        self.session: int | None = None  # that it shows; None while it shows its QR, or the button for it
        self.forgotten: list[int] = []  # sessions that a 401 made it forget
        # Of a session, barcodes of calls that the cart lost: they may reach the server whenever the network likes.
        self.late: set[tuple[int, int]] = set()
        self.wrong: list[str] = []

    async def qr(self) -> str:
        """The QR that it shows, asked for until there is one."""
        while True:
            try:
                path = f"/customer-session/qr/{self.cart_id}"
                answer = await self._call("GET", path, headers={"Authorization": STALE})
            except Lost:
                pass
            else:
                if answer.ok:
                    return str(answer.body)
                if answer.code != "cart_offline":
                    self.wrong.append(f"screen {self.cart_id} asked for a QR: {answer}")
            await self.pace.sleep(AGAIN_SECONDS)

    async def basket(self, session_id: int) -> None:
        """What it shows of a session, with the token it was given for it. A 401 makes it forget its session."""
        headers = {"Authorization": f"Bearer {self.tokens[session_id]}"}
        while True:
            try:
                answer = await self._call("GET", f"/cart-items/session/{session_id}", headers=headers)
                break
            except Lost:
                await self.pace.sleep(AGAIN_SECONDS)
        if answer.status == 401:
            self.forgotten.append(session_id)
            self.over(session_id)
        elif not answer.ok:
            self.wrong.append(f"screen {self.cart_id} asked for the basket of session {session_id}: {answer}")

    def over(self, session_id: int) -> None:
        """It shows its QR again, unless it shows a later session already."""
        if self.session == session_id:
            self.session = None

    async def run(self) -> None:
        """Listen for the cart's sessions, as an EventSource does."""
        while True:
            try:
                await self._listen()
            except (OSError, EOFError):
                await self.pace.sleep(AGAIN_SECONDS)

    async def _listen(self) -> None:
        reader, writer = await self.endpoint.connect()
        try:
            request = f"GET /sse/{self.cart_id} HTTP/1.1\r\nHost: shop\r\nAuthorization: {STALE}\r\n\r\n"
            writer.write(request.encode())
            status, _ = await read_head(reader)
            assert status == 200, f"the stream of cart {self.cart_id} was answered with {status}"
            while line := await reader.readline():
                # An event comes in one chunk, so its framing lies on other lines; a line without end was cut.
                if line.startswith(b"data: ") and line.endswith(b"\n"):
                    self._hear(json.loads(line.removeprefix(b"data: ")))
        finally:
            writer.transport.abort()

    def _hear(self, event: dict[str, Any]) -> None:
        session_id = event["session_id"]
        if event["event_type"] != "session-started":
            self.wrong.append(f"screen {self.cart_id}: {event}")
        if session_id in self.sockets:
            return  # its stream broke, and said the present session once more
        if self.sockets and session_id < max(self.sockets):
            self.wrong.append(f"screen {self.cart_id} in session {max(self.sockets)} heard of {session_id}")
        self.tokens[session_id] = event["token"]
        self.session = session_id
        pair = SessionSocket(self, session_id, forgotten=False), SessionSocket(self, session_id, forgotten=True)
        self.sockets[session_id] = pair
        for it in pair:
            self._tasks.start(it.run())

    @property
    def lost(self) -> int:
        return self._call.lost

    def leave(self) -> None:
        self._call.close()


class SessionSocket:
    """One of a session's two sockets."""

    def __init__(self, screen: FieldedScreen, session_id: int, *, forgotten: bool) -> None:
        self._screen = screen
        self.session_id = session_id
        self.forgotten = forgotten
        self.opened = 0
        self.last: dict[str, Any] | None = None  # what it heard last of all
        self.over = False  # closed by the page, or given up
        self.lost = 0  # attempts that broke before they were answered; some browsers take that for a refusal too
        self.refused: tuple[int, int] | None = None  # status, and when (ms): then it gave up for good

    def __repr__(self) -> str:
        kind = "forgotten" if self.forgotten else "page's"
        return f"{kind} socket of session {self.session_id}, opened {self.opened} times, last heard {self.last}"

    async def run(self) -> None:
        while not self.over:
            try:
                path = f"/ws/{self.session_id}"
                headers = {"Authorization": STALE}
                try:
                    it = await BlockableSocket.open(self._screen.endpoint, path, headers)
                except Lost:
                    self.lost += 1
                    raise
                self.opened += 1
                await self._listen(it)
            except Refused as refused:
                self.over, self.refused = True, (refused.status, self._screen.pace.now())
            except (Lost, Gone):
                await self._screen.pace.sleep(AGAIN_SECONDS)

    async def _listen(self, it: BlockableSocket) -> None:
        heard: list[dict[str, Any]] = []
        try:
            while not self.over:
                for text in await it.receive():
                    heard.append(json.loads(text))
                    self.last = heard[-1]
                    self._judge(heard)
                if self.forgotten:
                    continue
                if heard[-1]["type"] == PAID:
                    self.over = True
                    self._screen.over(self.session_id)
                elif heard[-1]["type"] == "cart-updated":
                    await self._screen.basket(self.session_id)
        finally:
            it.answer()
            it.close()

    def _judge(self, heard: list[dict[str, Any]]) -> None:
        """Whether the last of these may come after the others."""
        *before, kind = [message["type"] for message in heard]
        created = CREATED in before
        late = any(it == (self.session_id, heard[-1]["data"]) for it in self._screen.late)
        right = {
            "cart-updated": True,
            "item-read": late or not created,
            "weight increased": True,
            "weight decreased": True,
            CREATED: not created,
            FAILED: True,
            PAID: True,
        }.get(kind, False)
        if heard[-1]["type"] == "cart-updated" and created:
            right = late or heard[-1]["data"] == 0  # no basket changes once there is a payment
        if not before:
            right = kind in ("cart-updated", PAID) and heard[0]["data"] == 0
        if not right or PAID in before:
            self._screen.wrong.append(f"{self!r} heard {heard}")
