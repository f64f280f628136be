"""A session's shopping: what drivers hear becomes calls, and what the server answers becomes the basket on display."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import httpx2

from duckycart.cart.calls import Calls, Outcome, Refusal, call
from duckycart.cart.driver import Basket, Driver, Item
from duckycart.cart.heard import Heard, Noticed, Scanned
from duckycart.cart.journal import Call
from duckycart.cart.setback import Setback
from duckycart.cart.shopping import (
    WAIT_SECONDS,
    AddItem,
    BasketRead,
    Began,
    Ended,
    Floor,
    Happening,
    Held,
    Order,
    Phase,
    ReadBasket,
    ReadItem,
    Refused,
    RemoveItem,
    Say,
    Unit,
    Unknown,
    Waited,
    Warn,
    step,
)


class Session:
    """The shopping of one cart, in one session after the other."""

    def __init__(
        self,
        http: httpx2.AsyncClient,
        cart_id: int,
        driver: Driver,
        *,
        tolerance: int,
        keep: Callable[[], None],  # called when something of `to_keep` changed
        kept: Callable[[], Awaitable[None]],  # returns when it is on disk
        stands: Callable[[int | None], None],  # told which session the server says the cart is in, after `resume`
        sleep: Callable[[float], Awaitable[None]],
        random: Random,
    ) -> None:
        self._driver = driver
        self._tolerance = tolerance
        self._keep = keep
        self._stands = stands
        self._sleep = sleep
        self._floor = Floor()
        self._lines: dict[int, dict[str, Any]] = {}  # the server's view of each line, by barcode
        self._waiting: asyncio.Task[None] | None = None  # for an item to be put in or taken out
        self._calls = Calls(
            http,
            cart_id,
            kept=kept,
            came_of=self._came_of,
            delayed=self._delayed,
            sleep=sleep,
            random=random,
        )

    async def run(self) -> None:
        """Make the calls until cancelled."""
        await self._calls.run()

    def to_keep(self) -> tuple[int | None, tuple[Call, ...]]:
        """Return what a reboot must not lose: the tare of the session, and the changes that wait."""
        return self._floor.tare, self._calls.waiting

    # What the program says

    def online(self) -> None:
        self._calls.try_now()

    def begin(self, session_id: int) -> None:
        self._lines = {}
        self._forget(session_id)
        self._happened(Began(session_id))

    def resume(self, session_id: int, tare: int | None, calls: tuple[Call, ...]) -> None:
        """Go on with a session of before a reboot: ask the server whether it lasts, then send what waits."""
        self._calls.put(call("status", session_id), *calls)
        self._happened(Began(session_id, tare))

    def hold(self) -> None:
        self._happened(Held())

    def end(self) -> None:
        self._forget(None)
        self._lines = {}
        self._happened(Ended())

    def _forget(self, session_id: int | None) -> None:
        lost = self._calls.keep_only(session_id)
        if lost:
            self._driver.notice(
                f"The session is over, and {lost} of its changes {'was' if lost == 1 else 'were'} never sent."
            )

    # What drivers hear

    def heard(self, heard: Heard) -> None:
        """Take what a driver has heard."""
        if isinstance(heard, Noticed):
            self._driver.notice(heard.sentence)
            return
        if isinstance(heard, Scanned) and self._calls.full:
            self._driver.notice("Too much waits for the network: nothing more can be put in before it is back.")
            return
        self._happened(heard)

    def _happened(self, happening: Happening) -> None:
        before = self._floor
        self._floor, orders = step(before, happening, self._tolerance)
        if (self._floor.phase, self._floor.barcode) != (before.phase, before.barcode):
            self._wait_for_item()
        for order in orders:
            self._do(order)
        self._keep()

    def _wait_for_item(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        if self._floor.phase in (Phase.PUT_IN, Phase.TAKE_OUT):
            self._waiting = asyncio.get_running_loop().create_task(self._waited())

    async def _waited(self) -> None:
        await self._sleep(WAIT_SECONDS)
        self._waiting = None
        self._happened(Waited())

    def _do(self, order: Order) -> None:
        match order:
            case ReadItem(session_id, barcode):
                self._put(call("read", session_id, sessionID=session_id, barcode=barcode))
            case AddItem(session_id, barcode, grams):
                weight = {} if grams is None else {"weight": grams}
                self._put(call("add", session_id, sessionID=session_id, barcode=barcode, **weight))
            case RemoveItem(session_id, barcode):
                self._put(call("remove", session_id, sessionID=session_id, barcode=barcode))
            case Warn(session_id, words):
                if not self._calls.full:  # the first hundred say it all
                    self._put(call("warn", session_id, session_id=session_id, type_of_warning=words))
            case ReadBasket(session_id):
                self._put(call("basket", session_id))
            case Say(sentence):
                self._driver.notice(sentence)

    def _put(self, one: Call) -> None:
        self._calls.put(one)
        self._keep()

    # What came of the calls

    def _delayed(self, setback: Setback, delay: float) -> None:
        waiting = len(self._calls.waiting)
        self._driver.notice(f"{setback.sentence} Trying again in {delay:.1f} s; {waiting} changes wait.")
        self._show()

    def _came_of(self, outcome: Outcome) -> None:
        if isinstance(outcome, Refusal):
            self._refused(outcome)
        else:
            try:
                self._done(outcome.call, outcome.answer)
            except (LookupError, TypeError, AttributeError):
                self._driver.notice("The server answered with something else than a cart server does.")
        self._keep()

    def _done(self, one: Call, answer: Any) -> None:
        match one.what:
            case "status":
                active = answer.get("session_id")
                self._stands(active if isinstance(active, int) else None)
            case "read":
                self._driver.notice(f"{answer['description']}, {_price(answer)}")
            case "add":
                self._lines[one.body["barcode"]] = answer
                self._show()
            case "remove":
                if answer["item"] is None:
                    self._lines.pop(one.body["barcode"], None)
                else:
                    self._lines[one.body["barcode"]] = answer["item"]
                self._show()
            case "basket":
                self._lines = {line["product"]["barcode"]: line for line in answer["items"]}
                units = tuple(
                    Unit(barcode, line["saved_weight"] // line["quantity"] or None)
                    for barcode, line in self._lines.items()
                    for _ in range(line["quantity"])
                )
                self._show()
                self._happened(BasketRead(units, sum(line["saved_weight"] for line in self._lines.values())))

    def _refused(self, refusal: Refusal) -> None:
        one = refusal.call
        self._driver.notice(refusal.sentence)
        if one.what == "read" and refusal.status == httpx2.codes.NOT_FOUND:
            self._happened(Unknown(one.body["barcode"]))
        elif one.what in ("add", "remove"):
            self._happened(Refused())
        elif one.what == "status":
            self._stands(None)

    def _show(self) -> None:
        items = tuple(
            Item(barcode, line["product"]["description"], line["quantity"], line["saved_weight"])
            for barcode, line in self._lines.items()
        )
        self._driver.basket(Basket(items, _total(self._lines.values()), len(self._calls.waiting)))


def _price(product: dict[str, Any]) -> str:
    return f"{product['unit_price']:.{product['currency_digits']}f} {product['currency']}"


def _total(lines: Any) -> str:
    """Return the price of all lines, as people write it; counted in the currency's smallest unit."""
    products = [(line["product"], line["quantity"]) for line in lines]
    if not products:
        return "0"
    currency, digits = products[0][0]["currency"], products[0][0]["currency_digits"]
    minor = sum(round(product["unit_price"] * 10**digits) * quantity for product, quantity in products)
    return f"{minor / 10**digits:.{digits}f} {currency}"
