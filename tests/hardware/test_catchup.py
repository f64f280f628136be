"""What a cart that comes back has to hear: the rules of the design's section on catch-up, one case each."""

from dataclasses import dataclass, replace
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duckycart.hardware.catchup import Outstanding, catch_up
from duckycart.lifecycle.carts import Cart
from duckycart.store.states import CartStatus
from duckycart.wire import Command, CommandType

NOW: Final = 1_000_000
QR, START, PAY, END = CommandType

AVAILABLE: Final = Cart(
    id=1,
    disabled=False,
    out_of_service=False,
    status=CartStatus.AVAILABLE,
    session_id=None,
    qr_round=3,
    qr_expires_at=0,
    last_seq=9,
    link_epoch=1,
    link_node="here",
    link_changed_at=0,
    boot_generation=0,
)
WITH_QR: Final = replace(AVAILABLE, qr_expires_at=NOW + 1)
EXPIRED_QR: Final = replace(AVAILABLE, qr_expires_at=NOW)
IN_SESSION_7: Final = replace(AVAILABLE, status=CartStatus.IN_USE, session_id=7)


def rows(*commands: tuple[CommandType, int | None], attempted: tuple[int, ...] = ()) -> list[Outstanding]:
    return [
        Outstanding(seq, Command(kind, session_id), session_id in attempted)
        for seq, (kind, session_id) in enumerate(commands, start=1)
    ]


@dataclass(frozen=True)
class Case:
    name: str
    cart: Cart
    outstanding: list[Outstanding]
    send: list[int]


CASES = [
    Case("nothing outstanding", AVAILABLE, [], []),
    Case("a QR that is still valid", WITH_QR, rows((QR, None)), [1]),
    Case("of several QRs the newest", WITH_QR, rows((QR, None), (QR, None), (QR, None)), [3]),
    Case("a QR that expired this millisecond", EXPIRED_QR, rows((QR, None)), []),
    Case("a QR that a session made void", IN_SESSION_7, rows((QR, None), (START, 7)), [2]),
    Case(
        "a QR of an earlier round",
        AVAILABLE,
        rows((QR, None), (START, 7), (END, 7)),
        [],
    ),
    Case("all of the current session", IN_SESSION_7, rows((START, 7), (PAY, 7)), [1, 2]),
    Case("of several payments the newest", IN_SESSION_7, rows((START, 7), (PAY, 7), (PAY, 7)), [1, 3]),
    Case("the current session, its start already received", IN_SESSION_7, rows((PAY, 7)), [1]),
    Case(
        "F31 a session that is over, its start may have arrived: the end alone",
        AVAILABLE,
        rows((START, 7), (PAY, 7), (END, 7), attempted=(7,)),
        [3],
    ),
    Case(
        "a session that is over and of which nothing was ever tried",
        AVAILABLE,
        rows((START, 7), (PAY, 7), (END, 7)),
        [],
    ),
    Case("an end whose session was heard long ago", AVAILABLE, rows((END, 7), attempted=(7,)), [1]),
    Case(
        "the end of one session before the start of the next",
        IN_SESSION_7,
        rows((START, 6), (END, 6), (QR, None), (START, 7), attempted=(6,)),
        [2, 4],
    ),
    Case(
        "every end that may be needed",
        WITH_QR,
        rows((START, 5), (END, 5), (QR, None), (START, 6), (END, 6), (QR, None), attempted=(5, 6)),
        [2, 5, 6],
    ),
    Case("a payment of a session that is over", IN_SESSION_7, rows((PAY, 6), (START, 7)), [2]),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_sent_and_f29_all_else_is_void(case: Case) -> None:
    send, void = catch_up(case.cart, case.outstanding, NOW)
    assert [row.seq for row in send] == case.send
    assert [row.seq for row in void] == [row.seq for row in case.outstanding if row.seq not in case.send]


@st.composite
def histories(draw: st.DrawFn) -> tuple[Cart, list[Outstanding]]:
    """What transitions can leave behind: sessions one after the other, any of their commands still outstanding."""
    commands: list[tuple[CommandType, int | None]] = []
    current = None
    for session_id in range(1, draw(st.integers(1, 4))):
        commands += [(QR, None)] * draw(st.integers(1, 2))
        commands.append((START, session_id))
        commands += [(PAY, session_id)] * draw(st.integers(0, 2))
        current = session_id
        if draw(st.booleans()) or session_id < 3:
            commands.append((END, session_id))
            current = None
        else:
            break
    qr_expires_at = 0
    if current is None and draw(st.booleans()):
        commands.append((QR, None))
        qr_expires_at = NOW + draw(st.integers(-5, 5))
    attempted = draw(st.sets(st.integers(1, 4)))
    outstanding = [
        Outstanding(seq, Command(kind, session_id), session_id in attempted)
        for seq, (kind, session_id) in enumerate(commands, start=1)
        if draw(st.booleans())
    ]
    cart = replace(
        AVAILABLE,
        status=CartStatus.IN_USE if current else CartStatus.AVAILABLE,
        session_id=current,
        qr_expires_at=qr_expires_at,
        last_seq=len(commands),
    )
    return cart, outstanding


@given(histories())
def test_each_row_is_either_sent_or_void_and_the_order_stays(history: tuple[Cart, list[Outstanding]]) -> None:
    cart, outstanding = history
    send, void = catch_up(cart, outstanding, NOW)
    assert sorted(send + void, key=lambda row: row.seq) == outstanding
    for part in (send, void):
        assert [row.seq for row in part] == sorted(row.seq for row in part)


@given(histories())
def test_the_cart_ends_in_the_present(history: tuple[Cart, list[Outstanding]]) -> None:
    """Whatever it hears, it never hears of shopping in another session, and the present is what it hears last."""
    cart, outstanding = history
    send, _ = catch_up(cart, outstanding, NOW)
    kinds = [(row.command.type, row.command.session_id) for row in send]
    assert {session for kind, session in kinds if kind in (START, PAY)} <= {cart.session_id}
    assert (END, cart.session_id) not in kinds
    assert kinds.count((QR, None)) <= 1
    assert kinds.count((PAY, cart.session_id)) <= 1
    if (QR, None) in kinds:
        assert cart.session_id is None
        assert cart.qr_expires_at > NOW
    if (PAY, cart.session_id) in kinds:
        assert kinds[-1] == (PAY, cart.session_id)


@given(histories())
def test_catching_up_twice_is_catching_up_once(history: tuple[Cart, list[Outstanding]]) -> None:
    cart, outstanding = history
    send, _ = catch_up(cart, outstanding, NOW)
    assert catch_up(cart, send, NOW) == (send, [])
