"""Boots that overlap, pongs and calls that arrive from the boot before, calls that are refused: whatever the order,
each boot hears what it lacks, and nothing that it is known to have. A search for counter-examples, through real doors.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import httpx2
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import Connection, select

from duckycart.app import build_app, open_shop, sandbox
from duckycart.clock import Clock
from duckycart.hardware.ending import Ended, Ending
from duckycart.hardware.link import Close, Link, NeedRows, Outputs, Ping, Read, Send
from duckycart.hardware.receipts import KEPT_SECONDS
from duckycart.lifecycle.access import ByCart, ByOperator, ByShopper
from duckycart.lifecycle.basket import add_item
from duckycart.lifecycle.qr import get_qr
from duckycart.lifecycle.sessions import create_session, force_end
from duckycart.settings import Settings
from duckycart.store.database import Database
from duckycart.store.sqlite import driver_of, engine_for
from duckycart.store.steady import SteadyClock
from duckycart.store.tables import commands, metadata
from duckycart.store.transaction import EffectsHandler, Transaction
from duckycart.testing.clock import ManualClock
from duckycart.testing.furnish import MILK
from duckycart.wire import Command, CommandType
from tests.world import Shop

T = TypeVar("T")

CALLS: Final[dict[str, tuple[str, str, Callable[[int], dict[str, Any]] | None]]] = {
    "good": ("GET", "/cart-items/session/{0}", None),
    "nothing of it in the basket": (
        "DELETE",
        "/cart-items/remove",
        lambda session: {"sessionID": session, "barcode": MILK},
    ),
    "unknown product": ("POST", "/cart-items/add", lambda session: {"sessionID": session, "barcode": 1}),
    "no barcode": ("POST", "/items/read", lambda session: {"sessionID": session}),
}


LUCK = WELL, UNHEARD, DEAF = "reads, and is heard", "reads, but its pongs are late", "does not read"


class OneThread:
    """A store whose transactions are done when they are handed over."""

    def __init__(self, machine: Clock, on_effects: EffectsHandler) -> None:
        self.failures = 0
        self.clock = SteadyClock(machine)
        self._on_effects = on_effects
        self._connection = engine_for(Path(":memory:")).connect()
        metadata.create_all(self._connection)

    def write(
        self, work: Callable[[Transaction], T], *, hurry: bool = True, within: float | None = None
    ) -> Awaitable[T]:
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        driver = driver_of(self._connection)
        driver.execute("BEGIN")
        tx = Transaction(self._connection, self.clock.now(), self.clock.read(self._connection))
        try:
            result = work(tx)
        except Exception as error:
            driver.execute("ROLLBACK")
            done.set_exception(error)
        else:
            driver.execute("COMMIT")
            self._on_effects(tx.effects)
            done.set_result(result)
        return done

    async def read(self, look: Callable[[Connection], T]) -> T:
        return look(self._connection)

    look_up = read

    async def close(self) -> None:
        self._connection.close()


class Server:
    """One for all examples, each with a cart of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.clock = ManualClock()
        self.ids = count(1)
        configured = Settings(offline_carts="accept", connects=10**6)
        database = Database("memory", OneThread, None, lambda: None)
        self._open = AsyncExitStack()
        opening = self._open.enter_async_context(open_shop(configured, database, self.clock, sandbox))
        self.inside = self.loop.run_until_complete(opening)
        app = build_app(configured, database, self.clock)

        async def in_lifespan(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, "state": {"shop": self.inside}}, receive, send)

        self.http = httpx2.AsyncClient(transport=httpx2.ASGITransport(in_lifespan), base_url="http://shop")
        self.shop = Shop(app, self.inside, self.clock, 0, None)  # type: ignore[arg-type]  # for its furniture
        self.do(self.shop.add_product(MILK, "Milk", 1250))

    def close(self) -> None:
        for end in (self.http.aclose, self.shop.http.aclose, self._open.aclose):
            self.loop.run_until_complete(end())
        self.loop.close()

    def do(self, work: Awaitable[T]) -> T:
        """Until it is done, and all that follows from it."""

        async def all_of_it() -> T:
            result = await work
            dispatch = self.inside.dispatch
            while dispatch.background or dispatch.receipts._writes:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0)
            return result

        return self.loop.run_until_complete(all_of_it())

    def act(self, work: Callable[[], Any]) -> Any:
        """The same for what is done in the event loop, at once or when it is awaited."""

        async def acting() -> Any:
            result = work()
            return await result if isinstance(result, Awaitable) else result

        return self.do(acting())

    def transact(self, work: Callable[[Transaction], T]) -> T:
        return cast(T, self.act(lambda: self.inside.store.write(work)))


server = cache(Server)


@dataclass(eq=False)
class Boot:
    """A boot of the cart, and its memory."""

    id: str | None
    session: int | None = None
    heard: set[int] = field(default_factory=set)  # seqs that its socket has read
    proved: set[int] = field(default_factory=set)  # seqs of which the server knows that


class Wire:
    """A connection down to what is on its way on it."""

    bucket = -1

    def __init__(self, cart_id: int, boot: Boot) -> None:
        self.boot = boot
        self.connector, self.dispatch = server().inside.connector, server().inside.dispatch
        self.link = Link(cart_id, self.connector.monotonic())
        self.gone = False
        self.down: list[Send | Ping] = []  # what the boot has not read yet

    def offer(self, seq: int, command: Command) -> None:
        self._do(self.link.offer(seq, command, 0.0))

    def behind(self, seq: int) -> None:
        self._do(self.link.behind(seq))

    def fill(self, rows: tuple[Send, ...], through: int) -> None:
        self._do(self.link.fill(rows, through, 0.0))

    def probe(self) -> None:
        self._do(self.link.probe(0.0))

    def tick(self) -> None:
        pass

    def close(self, why: Ended) -> None:
        self._do(self.link.close(why))

    def pong(self, payload: bytes) -> None:
        self._do(self.link.pong(payload, 0.0))

    def _do(self, outputs: Outputs) -> None:
        for output in outputs:
            match output:
                case Send(seq):
                    assert seq not in self.boot.proved, f"{output.command} again to a boot that is known to have it"
                    self.down.append(output)
                    self.dispatch.sent(self.link, output)
                case Ping():
                    self.down.append(output)
                case Read(sent):
                    self.boot.proved |= {send.seq for send in sent}
                    self.dispatch.read(self.link, sent)
                case NeedRows(after_seq):
                    self.dispatch.need_rows(self, after_seq)
                case Close():
                    pass  # the other side may still say something; `lost` comes when it has gone

    def read(self) -> bytes | None:
        """The boot's socket reads one frame; returns the pong for a ping."""
        frame = self.down.pop(0)
        if isinstance(frame, Ping):
            return frame.payload
        self.boot.heard.add(frame.seq)
        command = frame.command
        if command.type is CommandType.SESSION_STARTED:
            self.boot.session = command.session_id
        elif command.type is CommandType.END_SESSION and command.session_id == self.boot.session:
            self.boot.session = None
        return None

    def lost(self) -> None:
        if not self.gone:
            self.gone = True
            self.link.lost()
            self.connector.lost(self, Ending(Ended.BROKEN, 0))


@dataclass(frozen=True)
class Call:
    boot: Boot
    session: int
    names_boot: bool
    kind: str


class BootsMachine(RuleBasedStateMachine):
    """One cart whose boots follow each other while their handshakes, pongs and calls are still on their way."""

    def __init__(self) -> None:
        super().__init__()
        self.server = server()
        self.cart_id = next(self.server.ids)
        self.user_id = self.server.do(self._furnish())
        self.names = count(1)
        self.boot = self._new_boot()  # the one that lives
        self.nobody = Boot(None)
        self.wire: Wire | None = None  # its newest connection, as far as it knows
        self.numbers: dict[int, Boot] = {}  # by generation, as the server counts
        self.dead: list[Boot] = []
        self.late: list[Wire] = []  # connections of dead boots
        self.pongs: list[tuple[Wire, bytes]] = []
        self.calls: list[Call] = []
        self.session: int | None = None
        self.told: set[Boot] = set()  # who had the link while this session was on

    async def _furnish(self) -> int:
        shop = self.server.shop
        await shop.add_cart(self.cart_id)
        return await shop.add_user(f"{self.cart_id}@example.com")

    def _new_boot(self) -> Boot:
        return Boot(f"boot-{next(self.names)}")

    def _claim(self, boot: Boot) -> Wire:
        wire = Wire(self.cart_id, boot)

        async def connect() -> None:
            filled = await self.server.inside.connector.connect(wire, None, boot.id)
            self.numbers[filled.generation] = boot
            wire.fill(filled.rows, filled.through)

        self.server.do(connect())
        self.told.add(boot)
        return wire

    def _answer(self, wire: Wire) -> None:
        """One frame is read, and its pong is there."""
        if (payload := wire.read()) is not None:
            self.server.act(lambda: wire.pong(payload))

    @initialize(luck=st.sampled_from(LUCK), somebody_shops=st.booleans(), somebody_was_here=st.booleans())
    def it_begins(self, luck: str, somebody_shops: bool, somebody_was_here: bool) -> None:
        if somebody_was_here:
            self.somebody_looks_in_its_place()
        self.connects(luck)
        if somebody_shops:
            self.a_session_starts(luck)

    # The cart, and what is on its way

    @rule()
    def reboots(self) -> None:
        """Its last call is still on its way, and that of a fielded cart names no boot."""
        if self.boot.session is not None:
            self.calls.append(Call(self.boot, self.boot.session, names_boot=False, kind="good"))
        self.dead.append(self.boot)
        if self.wire is not None:
            self.late.append(self.wire)
        self.boot, self.wire = self._new_boot(), None

    @rule(luck=st.sampled_from(LUCK))
    def connects(self, luck: str) -> None:
        self.wire = self._claim(self.boot)
        self._reads(luck)

    @precondition(lambda self: self.dead)
    @rule(data=st.data())
    def a_late_handshake_comes_through(self, data: st.DataObject) -> None:
        self.late.append(self._claim(data.draw(st.sampled_from(self.dead))))

    @rule()
    def somebody_looks_in_its_place(self) -> None:
        """Without naming a boot."""
        self.late.append(self._claim(self.nobody))

    @precondition(lambda self: self.late)
    @rule(data=st.data(), answers=st.booleans())
    def a_late_connection_ends(self, data: st.DataObject, answers: bool) -> None:
        """Or first somebody answers its pings."""
        wire = self.late.pop(data.draw(st.integers(0, len(self.late) - 1)))
        if answers and not wire.gone:
            while wire.down:
                self._answer(wire)
        self.server.act(wire.lost)

    @precondition(lambda self: self.wire is not None)
    @rule()
    def its_connection_breaks(self) -> None:
        assert self.wire is not None
        self.server.act(self.wire.lost)
        self.wire = None

    def _reads(self, luck: str) -> None:
        while luck != DEAF and self.wire is not None and self.wire.down:
            payload = self.wire.read()
            if payload is not None and luck == WELL:
                self._arrives(self.wire, payload)
            elif payload is not None:
                self.pongs.append((self.wire, payload))

    def _arrives(self, wire: Wire, payload: bytes) -> None:
        if not wire.gone:
            self.server.act(lambda: wire.pong(payload))

    @precondition(lambda self: self.pongs)
    @rule(data=st.data())
    def a_late_pong_arrives(self, data: st.DataObject) -> None:
        self._arrives(*self.pongs.pop(data.draw(st.integers(0, len(self.pongs) - 1))))

    @precondition(lambda self: self.boot.session is not None)
    @rule(names_boot=st.booleans(), kind=st.sampled_from(sorted(CALLS)), late=st.booleans())
    def it_calls(self, names_boot: bool, kind: str, late: bool) -> None:
        assert self.boot.session is not None
        call = Call(self.boot, self.boot.session, names_boot, kind)
        if late:
            self.calls.append(call)
        else:
            self._ask(call)

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def a_late_call_arrives(self, data: st.DataObject) -> None:
        self._ask(self.calls.pop(data.draw(st.integers(0, len(self.calls) - 1))))

    def _ask(self, call: Call) -> None:
        method, path, body = CALLS[call.kind]
        headers = {"X-API-Key": self.server.shop.keys[self.cart_id]}
        if call.names_boot:
            headers["Cart-Boot-Id"] = str(call.boot.id)
        json = body and body(call.session)
        request = self.server.http.request(method, path.format(call.session), json=json, headers=headers)
        answer = self.server.do(request)
        assert answer.status_code in ((200,) if call.kind == "good" else (200, 404, 409, 422))
        if call.session == self.session and (call.names_boot or self.told == {call.boot}):
            start = next(seq for seq, kind, session, *_ in self._rows() if (kind, session) == (START, self.session))
            call.boot.proved |= {seq for seq in call.boot.heard if seq <= start}

    # The shop

    @precondition(lambda self: self.session is None)
    @rule(luck=st.sampled_from(LUCK))
    def a_qr_is_asked_for(self, luck: str) -> None:
        self.server.transact(lambda tx: get_qr(tx, self.cart_id, self.server.inside.rules))
        self._reads(luck)

    @precondition(lambda self: self.session is None)
    @rule(luck=st.sampled_from(LUCK))
    def a_session_starts(self, luck: str) -> None:
        rules = self.server.inside.rules
        self.told = {self.numbers[row.boot_generation] for row in [self._cart()] if row.link_node is not None}

        def scan(tx: Transaction) -> int:
            qr = get_qr(tx, self.cart_id, rules)
            return create_session(tx, self.cart_id, qr.round, qr.expires_at, self.user_id, rules).session.id

        self.session = self.server.transact(scan)
        self._reads(luck)

    @precondition(lambda self: self.session is not None)
    @rule(luck=st.sampled_from(LUCK))
    def a_payment_is_created(self, luck: str) -> None:
        session_id = self.session
        assert session_id is not None
        inside = self.server.inside
        if not any(kind == PAYMENT and session == session_id for _, kind, session, *_ in self._rows()):
            self.server.transact(lambda tx: add_item(tx, ByCart(self.cart_id), session_id, MILK, None, inside.rules))
            self.server.do(inside.checkout.create(ByShopper(self.user_id), session_id, None))
            self._reads(luck)

    @precondition(lambda self: self.session is not None)
    @rule(luck=st.sampled_from(LUCK))
    def the_session_ends(self, luck: str) -> None:
        session_id = self.session
        assert session_id is not None
        self.server.transact(lambda tx: force_end(tx, ByOperator(None), session_id, self.server.inside.rules))
        self.session = None
        self._reads(luck)

    @rule(luck=st.sampled_from(LUCK))
    def time_passes(self, luck: str) -> None:
        """So much that nobody remembers what is not in the rows."""
        self.server.clock.move(KEPT_SECONDS + 1)
        self.server.inside.dispatch.receipts.forget_old()
        self.server.do(self.server.inside.sweep())
        self._reads(luck)

    # What holds

    def _rows(self) -> list[tuple[int, str, int | None, str, int]]:
        columns = commands.c.seq, commands.c.type, commands.c.session_id, commands.c.state, commands.c.boot_generation
        found = select(*columns).where(commands.c.cart_id == self.cart_id).order_by(commands.c.seq)
        return [tuple(row) for row in self.server.do(self.server.shop.rows(found))]

    def _cart(self) -> Any:
        return self.server.do(self.server.shop.cart_row(self.cart_id))

    @invariant()
    def received_is_never_false(self) -> None:
        for seq, kind, session, state, generation in self._rows():
            if state == "received":
                assert seq in self.numbers[generation].heard, f"{kind} {session} of {self.numbers[generation].id}"

    def teardown(self) -> None:
        """Nothing else arrives; the boot that lives connects, reads and answers: it is where the shop is."""
        wire = self._claim(self.boot)
        while wire.down:
            self._answer(wire)
        self.server.do(self.server.inside.dispatch.receipts.finish())
        assert self.boot.session == self.session
        for seq, kind, session, state, _ in self._rows():
            assert state in ("received", "superseded"), (kind, session)
            if session == self.session and kind in (START, PAYMENT):
                assert seq in self.boot.heard, (kind, session)
        for each in (wire, self.wire, *self.late):
            if each is not None:
                self.server.act(each.lost)


START, PAYMENT = CommandType.SESSION_STARTED.value, CommandType.PAYMENT_CREATED.value
BootsMachine.TestCase.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)


@pytest.mark.timeout(600)  # it waits for nothing, but it has much to do
class TestBoots(BootsMachine.TestCase):  # type: ignore[misc, valid-type]
    @classmethod
    def tearDownClass(cls) -> None:
        server().close()
        server.cache_clear()
