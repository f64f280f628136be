"""The four commands on the wire, exactly as the protocol document prints them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duckycart.wire import Command, CommandType, NotACommand, decode, encode

PRINTED = [
    (Command(CommandType.GENERATE_QR, None), '{"type": "generate_qr", "data": null}'),
    (Command(CommandType.SESSION_STARTED, 1), '{"type": "session_started", "data": 1}'),
    (Command(CommandType.PAYMENT_CREATED, 456), '{"type": "payment_created", "data": 456}'),
    (Command(CommandType.END_SESSION, 456), '{"type": "end_session", "data": 456}'),
]

session_ids = st.integers(min_value=1)
commands = st.one_of(
    st.just(Command(CommandType.GENERATE_QR, None)),
    st.builds(
        Command, st.sampled_from([kind for kind in CommandType if kind is not CommandType.GENERATE_QR]), session_ids
    ),
)


def test_the_protocol_document_knows_four_words() -> None:
    assert [str(kind) for kind in CommandType] == ["generate_qr", "session_started", "payment_created", "end_session"]


@pytest.mark.parametrize(("command", "text"), PRINTED)
def test_a_command_is_written_as_the_document_prints_it(command: Command, text: str) -> None:
    assert encode(command) == text.encode()
    assert decode(text) == command
    assert decode(text.encode()) == command


@given(commands)
def test_what_is_written_is_read_again_and_has_exactly_two_fields(command: Command) -> None:
    assert decode(encode(command)) == command
    assert json.loads(encode(command)) == {"type": str(command.type), "data": command.session_id}


@pytest.mark.parametrize("data", ['{"data": 1, "type": "end_session"}', '{"type":"end_session","data":1}\n'])
def test_spaces_and_the_order_of_fields_mean_nothing(data: str) -> None:
    assert decode(data) == Command(CommandType.END_SESSION, 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ping",
        b"\xff\xfe",
        "[" * 100_000,
        "null",
        "[]",
        "1",
        '"end_session"',
        "{}",
        '{"type": "end_session"}',
        '{"type": "end_session", "data": 1, "seq": 3}',
        '{"type": "end_session", "data": null}',
        '{"type": "end_session", "data": 0}',
        '{"type": "end_session", "data": -1}',
        '{"type": "end_session", "data": "1"}',
        '{"type": "end_session", "data": 1.0}',
        '{"type": "end_session", "data": true}',
        '{"type": "end_session", "data": [1]}',
        '{"type": "generate_qr", "data": 1}',
        '{"type": "generate_qr", "data": false}',
        '{"type": "END_SESSION", "data": 1}',
        '{"type": "session_ended", "data": 1}',
        '{"type": null, "data": null}',
        '{"type": ["end_session"], "data": 1}',
        '{"type": {}, "data": 1}',
        '{"type": "end_session", "data": ' + "9" * 5000 + "}",
    ],
)
def test_anything_else_is_not_a_command(text: str | bytes) -> None:
    with pytest.raises(NotACommand):
        decode(text)


@given(st.one_of(st.text(), st.binary()))
def test_garbage_is_refused_and_never_anything_worse(text: str | bytes) -> None:
    try:
        command = decode(text)
    except NotACommand:
        return
    assert decode(encode(command)) == command
