"""Whatever a transaction brings about reaches whom it concerns, once it is committed."""

from pathlib import Path
from typing import Any, cast
from unittest.mock import Mock, call, create_autospec

import pytest
import structlog
from mypy import api as mypy

from duckycart import after_commit, effects
from duckycart.after_commit import AfterCommit
from duckycart.bus.messages import Message, TakenOver
from duckycart.channels.channels import Channels
from duckycart.effects import Alarm, AlarmKind, Effect, Happened, News, NewsKind, Queued, Received, Superseded
from duckycart.hardware.connect import Connector
from duckycart.hardware.dispatch import Dispatch
from duckycart.wire import Command, CommandType

STARTED = Command(CommandType.SESSION_STARTED, 7)
QUEUED = Queued(1, 5, STARTED, "here")
RECEIVED = Received(1, 5, STARTED, 0)
NEWS = News(NewsKind.CART_UPDATED, 1, 7, 3)
TAKEN_OVER = TakenOver(1, 2)


@pytest.fixture
def told() -> Mock:
    """Everything that links and listeners were called with, in order, by the names of the three."""
    told = Mock()
    told.attach_mock(create_autospec(Dispatch, instance=True), "dispatch")
    told.attach_mock(create_autospec(Connector, instance=True), "connector")
    told.attach_mock(create_autospec(Channels, instance=True), "channels")
    return told


@pytest.fixture
def step(told: Mock) -> AfterCommit:
    step = AfterCommit()
    step.reach(told.dispatch, told.connector, told.channels)
    return step


@pytest.mark.parametrize(
    ("effect", "calls"),
    [
        pytest.param(QUEUED, [call.dispatch.queued(QUEUED)], id="a command, the links"),
        pytest.param(RECEIVED, [call.dispatch.received(RECEIVED)], id="a receipt, the links"),
        pytest.param(NEWS, [call.channels.tell(NEWS)], id="news, the listeners"),
        pytest.param(Superseded(1, 5), [], id="a void command, nobody"),
        pytest.param(Happened("get_qr", 1), [], id="a transition, nobody"),
        pytest.param(Alarm(AlarmKind.PAID_EXTRA, "twice"), [], id="an alarm, nobody"),
    ],
)
def test_an_effect_reaches_whom_it_concerns(step: AfterCommit, told: Mock, effect: Effect, calls: list[Any]) -> None:
    step.committed([effect])
    assert told.mock_calls == calls


@pytest.mark.parametrize(
    ("message", "calls"),
    [
        pytest.param(QUEUED, [call.dispatch.offered(QUEUED)], id="a command, the cart's links here"),
        pytest.param(RECEIVED, [call.dispatch.wake(RECEIVED)], id="a receipt, whoever waits for it here"),
        pytest.param(TAKEN_OVER, [call.connector.taken_over(TAKEN_OVER)], id="a take-over, the cart's link here"),
        pytest.param(NEWS, [call.channels.heard(NEWS)], id="news, the listeners here"),
    ],
)
def test_what_another_node_committed_reaches_whom_it_concerns_here(
    step: AfterCommit, told: Mock, message: Message, calls: list[Any]
) -> None:
    """And goes no further: what is handed on here is never said on the bus again."""
    step.heard(message)
    assert told.mock_calls == calls


def test_f13_effects_keep_their_order_the_cart_before_its_screens(step: AfterCommit, told: Mock) -> None:
    step.committed([Superseded(1, 4), QUEUED, Happened("create_session", 1, 7), NEWS])
    assert told.mock_calls == [call.dispatch.queued(QUEUED), call.channels.tell(NEWS)]


def test_what_nobody_is_sent_stands_in_the_log(step: AfterCommit) -> None:
    with structlog.testing.capture_logs() as lines:
        step.committed(
            [
                Superseded(1, 4),
                Happened("create_session", 1, 7, {"user": 2}),
                Alarm(AlarmKind.PAID_EXTRA, "twice", 1, 7),
            ]
        )
    assert lines == [
        {"event": "command superseded", "log_level": "info", "cart": 1, "seq": 4},
        {"event": "transition", "log_level": "info", "what": "create_session", "cart": 1, "session": 7, "user": 2},
        {"event": "alarm", "log_level": "warning", "kind": "paid_extra", "detail": "twice", "cart": 1, "session": 7},
    ]


@pytest.mark.parametrize("hand_on", ["committed", "heard"])
def test_what_nobody_knows_is_an_error_and_not_lost_in_silence(step: AfterCommit, hand_on: str) -> None:
    unknown = cast(Any, object())
    with pytest.raises(AssertionError):
        step.heard(unknown) if hand_on == "heard" else step.committed([unknown])


def test_an_effect_that_nobody_hands_on_fails_type_checking(tmp_path: Path) -> None:
    known = Path(effects.__file__)
    one_more = tmp_path / "effects.py"
    one_more.write_text(known.read_text().replace("\nEffect = ", "\nclass Forgotten: ...\n\n\nEffect = Forgotten | "))
    files = [str(known), after_commit.__file__]
    options = ["--config-file=", "--follow-imports=skip", f"--cache-dir={tmp_path / 'cache'}"]
    assert mypy.run([*options, *files])[2] == 0
    said, _, _ = mypy.run([*options, "--shadow-file", str(known), str(one_more), *files])
    assert "assert_never" in said
    assert "Forgotten" in said
