"""A fielded cart is a Python program on a small computer, with these habits.

It reconnects without any delay after each close, its handlers block its socket for 10 s, and it wipes its basket
whenever it hears `session_started`. It sends `X-API-Key`, `sessionID` or `session_id` as each call wants it, barcodes
as integers and a body with DELETE, and takes nothing but 200 for success.
"""

import json
from collections import Counter
from math import inf
from random import Random
from typing import Any, Final

from duckycart.testing.basket import Basket
from duckycart.testing.blockable import BlockableSocket, Gone, Refused
from duckycart.testing.caller import Answer, Caller, Lost
from duckycart.testing.endpoint import Endpoint
from duckycart.testing.pace import Pace

BLOCKED_SECONDS: Final = 10
HANDSHAKE_SECONDS: Final = 40  # its library gives up after 10; but moved time is faster than sockets and disks


class FieldedCart:
    """A cart that connects for ever (`run`), believes what it hears, and makes the calls that a test wants.

    Whatever must not have been said to it is in `wrong`; a test asserts that this is empty.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        cart_id: int,
        key: str,
        pace: Pace,
        *,
        random: Random | None = None,
        blocks: float = 0.0,
    ) -> None:
        """Make a cart that is not connected yet. `blocks` is how likely a handler blocks the socket; `random` draws
        when."""
        self.id = cart_id
        self.endpoint = endpoint
        self._key = {"X-API-Key": key}
        self._pace = pace
        self._random = random or Random()
        self.blocks = blocks
        self._call = Caller(endpoint, self._key)
        # What it is doing
        self.session: int | None = None
        self.held = False
        self._before: int | None = None  # the session it was in when an older one's end was said again
        self._torn: int | None = None  # the same, and the connection broke before its start came again
        self.baskets: dict[int, Basket] = {}  # by session; the past ones stay, for the test to look at
        self.ended: set[int] = set()
        # What the test wants to know
        self.heard: list[tuple[str, int | None]] = []
        self.connects = 0
        self.refusals: Counter[int] = Counter()
        self.closes: Counter[int | None] = Counter()
        self.wiped: list[int] = []  # sessions whose basket was not empty when it was wiped
        self.repeated = 0  # wipes of an empty basket: the one hole that no server can close
        self.torn = 0  # connections that broke between an older session's end, said again, and the present one's start
        self.blocked = 0
        self.lost_warnings: set[int] = set()  # sessions in which one was cut off: it may arrive as late as it likes
        self.refused_changes: set[int] = set()  # sessions in which the server may have refused to add or remove
        self.wrong: list[str] = []  # what must not have been said to it
        self.diary: list[str] = []  # the second of the clock, and what happened

    # Its socket

    async def run(self) -> None:
        """Connect for ever."""
        while True:
            try:
                async with self._pace.limit(HANDSHAKE_SECONDS):
                    it = await BlockableSocket.open(self.endpoint, f"/ws/hardware/{self.id}", self._key)
            except (Lost, TimeoutError):
                continue
            except Refused as refused:
                self.refusals[refused.status] += 1
                await self._pace.sleep()  # it would not wait either; but the clock has to move on for it to matter
                continue
            self.connects += 1
            self._note("connected")
            try:
                await self._listen(it)
            except Gone as gone:
                self.closes[gone.code] += 1
                if self._before is not None:
                    self.torn += 1
                    self._torn, self._before = self._before, None
                self._note(f"closed {gone.code}")
            finally:
                it.close()

    async def _listen(self, it: BlockableSocket) -> None:
        free_since = -inf  # a cart may be blocked from its first command on
        while True:
            texts = await it.receive()
            for text in texts:
                self.hear(text)
            # For up to 10 s at a time: in between it has time to read and answer what came meanwhile.
            if self._pace.seconds > free_since + 1 and self._random.random() < self.blocks:
                self.blocked += 1
                if self._random.random() < 0.5:
                    it.answer()  # its library has done so already; else the whole process stands still
                await self._pace.sleep(BLOCKED_SECONDS)
                free_since = self._pace.seconds

    def hear(self, text: str) -> None:
        """Act upon a command, as a fielded cart does: without a look at what it did before."""
        message = json.loads(text)
        kind, data = message["type"], message["data"]
        if set(message) != {"type", "data"}:
            self._complain(text)
        self.heard.append((kind, data))
        self._note(f"heard {kind} {data}")
        match kind:
            case "generate_qr":
                if data is not None or self.session is not None:
                    self._complain(text)
            case "session_started":
                if data in self.ended or self.session not in (None, data):
                    self._complain(text)
                if self.session is not None:
                    self._wipe(self.session)
                self.session, self.held, self._before = data, False, None
                self.baskets.setdefault(data, Basket())
            case "payment_created":
                if data not in (self.session, self._torn):
                    self._complain(text)
                self.held = True
            case "end_session":
                if self.session not in (None, data):
                    self._wipe(self.session)
                    self._before = self.session
                self.session, self.held = None, False
                self.ended.add(data)
            case _:
                self._complain(text)

    def _wipe(self, session_id: int) -> None:
        basket = self.baskets[session_id]
        if basket:
            self.wiped.append(session_id)
            self._note(f"wiped {basket}")
        else:
            self.repeated += 1
        basket.wipe()

    def _note(self, what: str) -> None:
        self.diary.append(f"{self._pace.seconds:.0f} {what}")

    def _complain(self, what: str) -> None:
        state = f"in session {self.session}" if self.session is not None else "idle"
        self.wrong.append(f"cart {self.id}, {state}{', held' if self.held else ''}: {what}; heard {self.heard[-8:]}")

    # Its calls

    async def read(self, session_id: int, barcode: int) -> bool:
        """Show the product to the screen. Returns whether the server did it; raises Lost when no answer came."""
        return (await self._ask("POST", "/items/read", {"sessionID": session_id, "barcode": barcode})) is not None

    async def add(self, session_id: int, barcode: int, weight: int | None = None) -> bool:
        """Put one unit into the basket; `weight` in grams. Returns whether the server answered that it did.

        A lost answer is False too, as fielded carts have it: then `basket` knows of a unit that may be in or not.
        """
        basket = self.baskets[session_id]
        body = {"sessionID": session_id, "barcode": barcode} | ({} if weight is None else {"weight": weight})
        try:
            answer = await self._ask("POST", "/cart-items/add", body)
        except Lost:
            basket.more[barcode] += 1
            self.refused_changes.add(session_id)
            return False
        if answer is None:
            self.refused_changes.add(session_id)
        else:
            basket.sure[barcode] += 1
            if not basket.fits(barcode, answer.body["quantity"]):
                self._complain(f"added to {basket}: {answer.body}")
        return answer is not None

    async def remove(self, session_id: int, barcode: int) -> bool:
        """Take one unit out of the basket. Returns whether the server answered that it did; False for a lost answer
        too."""
        basket = self.baskets[session_id]
        body = {"sessionID": session_id, "barcode": barcode}
        try:
            answer = await self._ask("DELETE", "/cart-items/remove", body, 404 if basket.less[barcode] else 409)
        except Lost:
            basket.less[barcode] += 1
            self.refused_changes.add(session_id)
            return False
        if answer is None:
            self.refused_changes.add(session_id)
        else:
            basket.sure[barcode] -= 1
            left = answer.body["item"]
            if not basket.fits(barcode, 0 if left is None else left["quantity"]):
                self._complain(f"removed from {basket}: {answer.body}")
        return answer is not None

    async def warn(self, session_id: int, what: str) -> bool:
        """Report what the cart noticed, "weight increased" say. Returns whether it was kept; raises Lost."""
        body = {"session_id": session_id, "type_of_warning": what}
        try:
            return (await self._ask("POST", "/fraud-warnings/", body)) is not None
        except Lost:
            self.lost_warnings.add(session_id)
            raise

    async def notify(self, session_id: int, barcode: int) -> bool:
        """Ask the screen to look at the basket again. Returns whether the server passed that on; raises Lost."""
        body = {"session_id": session_id, "barcode": barcode}
        return (await self._ask("POST", "/fraud-warnings/notify-cart-update", body)) is not None

    async def locate(self, session_id: int, aisle_id: int) -> bool:
        """Say in which aisle the cart is. Returns whether the server kept that; raises Lost."""
        return (await self._ask("PUT", f"/session-location/{session_id}", {"aisle_id": aisle_id})) is not None

    async def _ask(self, method: str, path: str, body: Any, also: int = 409) -> Answer | None:
        """Return the answer if it was a success, None if the server refused: the session is over or held. Raises
        Lost."""
        self._note(f"{method} {path}")
        try:
            answer = await self._call(method, path, body)
        except Lost:
            self._note(f"{method} {path} lost")
            raise
        self._note(f"{method} {path} {answer.status}")
        if answer.ok:
            return answer
        if answer.status not in (409, also):
            self._complain(f"{method} {path} {body}: {answer}")
        return None

    @property
    def lost(self) -> int:
        """Calls whose answer never came."""
        return self._call.lost

    def leave(self) -> None:
        """Let the connection of its calls go; its socket goes with the task of `run`."""
        self._call.close()
