"""What a command does depends on where the cart stands, and on nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duckycart.cart.machine import END, HOLD, SHOW, START, TRANSITIONS, Action, CartState, Situation, obey
from duckycart.wire import Command, CommandType

OURS, OTHER = 7, 8
IDLE, QR = Situation(), Situation(CartState.QR)
SHOPPING, HELD = Situation(CartState.SHOPPING, OURS), Situation(CartState.HELD, OURS)
OTHER_SHOPPING, OTHER_HELD = Situation(CartState.SHOPPING, OTHER), Situation(CartState.HELD, OTHER)

GENERATE_QR = Command(CommandType.GENERATE_QR, None)


def started(session_id: int) -> Command:
    return Command(CommandType.SESSION_STARTED, session_id)


def payment(session_id: int) -> Command:
    return Command(CommandType.PAYMENT_CREATED, session_id)


def ended(session_id: int) -> Command:
    return Command(CommandType.END_SESSION, session_id)


# Written from the promises, not from the table: every state, every command, ours and another session.
CELLS = [
    (IDLE, GENERATE_QR, QR, (SHOW,)),
    (IDLE, started(OTHER), OTHER_SHOPPING, (START,)),
    (IDLE, payment(OTHER), OTHER_HELD, (START, HOLD)),
    (IDLE, ended(OTHER), IDLE, ()),
    (QR, GENERATE_QR, QR, (SHOW,)),
    (QR, started(OTHER), OTHER_SHOPPING, (START,)),
    (QR, payment(OTHER), OTHER_HELD, (START, HOLD)),
    (QR, ended(OTHER), QR, ()),
    (SHOPPING, GENERATE_QR, SHOPPING, ()),
    (SHOPPING, started(OURS), SHOPPING, ()),
    (SHOPPING, started(OTHER), OTHER_SHOPPING, (END, START)),
    (SHOPPING, payment(OURS), HELD, (HOLD,)),
    (SHOPPING, payment(OTHER), OTHER_HELD, (END, START, HOLD)),
    (SHOPPING, ended(OURS), IDLE, (END,)),
    (SHOPPING, ended(OTHER), SHOPPING, ()),
    (HELD, GENERATE_QR, HELD, ()),
    (HELD, started(OURS), HELD, ()),
    (HELD, started(OTHER), OTHER_SHOPPING, (END, START)),
    (HELD, payment(OURS), HELD, ()),
    (HELD, payment(OTHER), OTHER_HELD, (END, START, HOLD)),
    (HELD, ended(OURS), IDLE, (END,)),
    (HELD, ended(OTHER), HELD, ()),
]


@pytest.mark.parametrize(("before", "command", "after", "actions"), CELLS)
def test_every_cell(before: Situation, command: Command, after: Situation, actions: tuple[Action, ...]) -> None:
    assert obey(before, command) == (after, actions)


def test_the_table_has_these_cells_and_no_others() -> None:
    walked = {
        (
            before.state,
            command.type,
            command.session_id is not None and command.session_id == before.session_id,
        )
        for before, command, _, _ in CELLS
    }
    assert len(walked) == len(CELLS)
    assert walked == TRANSITIONS.keys()


@pytest.mark.parametrize(("before", "command"), [cell[:2] for cell in CELLS])
def test_a_repeated_command_changes_nothing(before: Situation, command: Command) -> None:
    once, _ = obey(before, command)
    twice, actions = obey(once, command)
    assert twice == once
    assert set(actions) <= {SHOW}


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[Command, list[Command]]]:
    """What a server may say in its one order; with each command what a catch-up right after it may repeat."""
    history: list[tuple[Command, list[Command]]] = []
    last_end: list[Command] = []
    for session_id in range(1, draw(st.integers(1, 4)) + 1):
        history += [(GENERATE_QR, [*last_end, GENERATE_QR])] * draw(st.integers(0, 2))
        current = [started(session_id)]
        history.append((current[0], [*last_end, *current]))
        for _ in range(draw(st.integers(0, 2))):
            current.append(payment(session_id))
            history.append((current[-1], [*last_end, *current]))
        last_end = [ended(session_id)]
        history.append((last_end[0], last_end))
    return history[: draw(st.integers(0, len(history)))]


def run(commands: list[Command], situation: Situation = IDLE) -> tuple[Situation, list[Action]]:
    done: list[Action] = []
    for command in commands:
        situation, actions = obey(situation, command)
        done += [action for action in actions if action is not SHOW]
    return situation, done


@given(histories(), st.data())
def test_whatever_is_repeated_ends_in_the_same_state_by_the_same_steps(
    history: list[tuple[Command, list[Command]]], data: st.DataObject
) -> None:
    repeated: list[Command] = []
    for command, catch_up in history:
        repeated.append(command)
        for _ in range(data.draw(st.integers(0, 2))):
            repeated += catch_up[data.draw(st.integers(0, len(catch_up))) :]
    assert run(repeated) == run([command for command, _ in history])


@given(histories())
def test_a_cart_that_forgot_everything_is_brought_to_the_present(
    history: list[tuple[Command, list[Command]]],
) -> None:
    if not history:
        return
    present, _ = run([command for command, _ in history])
    assert run(history[-1][1])[0] == present
