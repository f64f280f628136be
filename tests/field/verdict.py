"""What must hold on a floor that has come to rest, each promise in a function of its name."""

from collections import Counter, defaultdict, deque
from typing import Any

from sqlalchemy import select

from duckycart.store.tables import alarms, basket_lines, carts, commands, payments, products, sessions
from duckycart.testing.waiting import until
from tests.field.floor import Floor
from tests.field.screen import PAID
from tests.hardware.test_churn import sockets
from tests.world import Shop

GRACE_MS = 60_000


class Records:
    """What the database says, read once."""

    def __init__(self) -> None:
        self.carts: list[Any] = []
        self.sessions: dict[int, Any] = {}
        self.commands: dict[int, list[Any]] = defaultdict(list)  # by cart, in order
        self.payments: dict[int, list[Any]] = defaultdict(list)  # by session
        self.lines: dict[int, Counter[int]] = defaultdict(Counter)  # by session: units, by barcode
        self.totals: Counter[int] = Counter()  # by session, in minor units
        self.alarms: list[Any] = []

    @classmethod
    async def of(cls, shop: Shop) -> "Records":
        it = cls()
        it.carts = await shop.rows(select(carts).order_by(carts.c.id))
        it.sessions = {row.id: row for row in await shop.rows(select(sessions).order_by(sessions.c.id))}
        for row in await shop.rows(select(commands).order_by(commands.c.seq)):
            it.commands[row.cart_id].append(row)
        for row in await shop.rows(select(payments).order_by(payments.c.id)):
            it.payments[row.session_id].append(row)
        lines = select(basket_lines, products.c.barcode_number).join(products)
        for row in await shop.rows(lines):
            it.lines[row.session_id][int(row.barcode_number)] += row.quantity
            it.totals[row.session_id] += row.quantity * row.unit_price
        it.alarms = await shop.rows(select(alarms))
        return it

    def of_session(self, session_id: int) -> list[str]:
        """The types of its commands, in order."""
        cart_id = self.sessions[session_id].cart_id
        return [row.type for row in self.commands[cart_id] if row.session_id == session_id]


def nothing_is_stuck(floor: Floor, records: Records) -> None:
    """Every cart is where the database says, every command came to its end, every journey to its own."""
    for cart, row in zip(floor.carts, records.carts, strict=True):
        assert (row.status, row.session_id) == ("available", None), row
        assert (cart.session, cart.held) == (None, False), f"cart {cart.id} is in session {cart.session}"
        assert row.link_node == floor.shop.inside.dispatch.node, f"cart {cart.id} is not connected"
        states = Counter(command.state for command in records.commands[cart.id])
        assert set(states) <= {"received", "superseded"}, f"cart {cart.id}: {states}"
        heard = Counter(cart.heard)
        received = Counter((it.type, it.session_id) for it in records.commands[cart.id] if it.state == "received")
        assert received <= heard, f"cart {cart.id} never heard what it is said to have received: {received - heard}"


def no_basket_is_wiped(floor: Floor, records: Records) -> None:
    """Each cart holds what the server says, and none heard a second `session_started` with something in it."""
    for cart in floor.carts:
        assert cart.wiped == [], f"cart {cart.id} wiped the baskets of {cart.wiped}; heard {cart.heard}"
        for session_id, basket in cart.baskets.items():
            lines = records.lines[session_id]
            assert basket.is_what(lines), f"session {session_id}: the cart says {basket}, the server {dict(lines)}"


def nothing_received_is_sent_again(logs: list[Any]) -> None:
    """Not even when the receipt is a call, or comes while another connection is being taken in."""
    received = set()
    for line in logs:
        if line["event"] == "command received":
            received.add((line["cart"], line["seq"]))
        elif line["event"] == "command sent":
            assert (line["cart"], line["seq"]) not in received, f"sent although it was received: {line}"


def no_session_is_wrong(floor: Floor, records: Records) -> None:
    """One at a time, from its start to its one end, of one scan, for one shopper, and paid what it cost."""
    for cart_id, its in records.commands.items():
        assert [row.seq for row in its] == list(range(1, len(its) + 1)), f"cart {cart_id} has gaps"
        in_order = [row.session_id for row in its if row.session_id is not None]
        assert in_order == sorted(in_order), f"cart {cart_id} had two sessions at once: {in_order}"
    scans = Counter((row.cart_id, row.qr_round) for row in records.sessions.values())
    assert set(scans.values()) <= {1}, f"several sessions of one scan: {scans}"
    for session_id, row in records.sessions.items():
        assert not row.is_active, f"session {session_id} is active"
        its_payments = [payment for payment in records.payments[session_id] if payment.opened_at is not None]
        types = ["session_started", *["payment_created" for _ in its_payments], "end_session"]
        said = records.of_session(session_id)
        assert said == types, f"session {session_id}: {said}"
        states = [payment.state for payment in records.payments[session_id]]
        if row.end_reason == "paid":
            assert states == ["paid"], f"session {session_id}: {states}"
            amount, total = records.payments[session_id][0].amount, records.totals[session_id]
            assert amount == total > 0, f"session {session_id} paid {amount} for {total}"
        else:
            assert set(states) <= {"cancelled"}, f"session {session_id} ended {row.end_reason}: {states}"
        if row.end_reason in ("ended", "idle"):
            assert records.totals[session_id] == 0, f"session {session_id} ended with a full basket"
    late = set().union(*(cart.lost_warnings for cart in floor.carts))  # said while shopping, arrived in the hold
    allowed = {("session_idle", it) for it in records.sessions}
    allowed |= {(kind, it) for it in late for kind in ("weight_increased", "weight_decreased")}
    refused = set().union(*(cart.refused_changes for cart in floor.carts))
    allowed |= {("basket_differs", it) for it in refused}
    assert {(row.kind, row.session_id) for row in records.alarms} <= allowed, records.alarms


def everybody_is_told_of_their_own(floor: Floor, records: Records) -> None:
    """Phones know of all their sessions and of no other; carts and screens heard nothing that may not be said."""
    for phone in floor.phones:
        own = [row.id for row in records.sessions.values() if row.user_id == phone.user_id]
        assert phone.sessions == own, f"the phone of user {phone.user_id} knows {phone.sessions}, not {own}"
        for session_id, told in phone.payments.items():
            there_are = {payment.id for payment in records.payments[session_id]}
            assert told == there_are, f"session {session_id}: told of the payments {told}, not {there_are}"
    wrong = [complaint for device in floor.devices for complaint in device.wrong]
    assert not wrong, "\n".join(wrong)


def screens_hear_the_last_word(floor: Floor, records: Records) -> None:
    """All of them, and they are refused only once it is said and its grace is over."""
    for screen in floor.screens:
        for session_id, pair in screen.sockets.items():
            session = records.sessions[session_id]
            assert session.cart_id == screen.cart_id, f"screen {screen.cart_id} heard of session {session_id}"
            for it in pair:
                word = (
                    {"type": PAID, "data": 0} if session.end_reason == "paid" else {"type": "cart-updated", "data": 0}
                )
                assert it.last == word, f"session {session_id} was {session.end_reason}: {it}"
                if it.refused is not None:
                    status, at = it.refused
                    assert status == 403, f"{it} was refused with {status}"
                    assert at > session.ended_at + GRACE_MS, f"{it} was refused too early"
                assert it.over, f"{it} still tries"


def no_screen_is_stuck(floor: Floor, records: Records) -> None:
    """All show their QR again, and a 401 told them so only where nothing was paid (F68)."""
    for screen in floor.screens:
        assert screen.session is None, f"screen {screen.cart_id} still shows session {screen.session}"
        for session_id in screen.forgotten:
            reason = records.sessions[session_id].end_reason
            assert reason != "paid", f"screen {screen.cart_id} was shown out of session {session_id}, which was paid"


def nobody_alive_was_taken_for_dead(floor: Floor, logs: list[Any]) -> None:
    """Only half-open links are closed for want of a pong. Carts are refused by the brake alone, and nothing failed."""
    ends = [line for line in logs if line["event"] == "cart disconnected"]
    dead = Counter(line["cart"] for line in ends if line["reason"] == "no_pong")
    for cart in floor.carts:
        frozen = floor.network.frozen[str(cart.endpoint.local)]
        assert dead[cart.id] <= frozen, f"cart {cart.id}: {dead[cart.id]} links taken for dead, {frozen} were"
        assert set(cart.refusals) <= {429}, cart.refusals
    failed = [line for line in logs if line["log_level"] in ("error", "critical")]
    assert not failed, failed


def traces(thing: object) -> dict[str, int]:
    """How much is in each collection of what keeps carts, screens and phones apart: all that could be left over."""
    found: dict[str, int] = {}
    for name in [*getattr(thing, "__dict__", ()), *getattr(type(thing), "__slots__", ())]:
        value = getattr(thing, name)
        if isinstance(value, dict | set | list | tuple | deque):
            found[f"{type(thing).__name__}.{name}"] = len(value)
        elif type(value).__module__.startswith(("duckycart.hardware.", "duckycart.channels.")):
            found |= traces(value)
    return found


async def nothing_is_leaked(floor: Floor) -> None:
    """Without screens and phones there is one link per cart, and no trace of others; without carts, of nobody."""
    shop, inside = floor.shop, floor.shop.inside
    await floor.only_carts_stay()
    await until(lambda: len(shop.server.server_state.connections) == len(sockets(shop)) and not len(inside.channels))
    await until(lambda: not shop.server.server_state.tasks)
    numbers = len(sockets(shop)), len(inside.dispatch.links), inside.dispatch.links.watched
    assert numbers == (len(floor.carts),) * 3, f"{numbers} for {len(floor.carts)} carts"
    left = traces(inside.channels)
    assert not any(left.values()), left
    await floor.close()
    await until(lambda: not inside.dispatch.background and not inside.connector.handshaking)
    await inside.dispatch.receipts.finish()
    shop.clock.move(11)  # the brake forgets
    shop.tick()
    left = traces(inside.dispatch) | traces(inside.connector)
    assert set(left) >= {"Links._current", "Dispatch._waiters", "Receipts._pending", "Brake._accepted"}, left
    assert not any(left.values()), left
