"""What nodes tell each other arrives as it was said; anything else is refused."""

import pytest

from duckycart.bus.messages import Message, NotAMessage, TakenOver, decode, encode
from duckycart.effects import News, NewsKind, Queued, Received
from duckycart.wire import Command, CommandType

START = Command(CommandType.SESSION_STARTED, 7)
MESSAGES: list[Message] = [
    Queued(1, 2, START, "b/1234"),
    Queued(1, 3, Command(CommandType.GENERATE_QR, None), None),
    Received(1, 2, START, 0),
    TakenOver(1, 9),
    *(News(kind, 1, 7, 3, {"message": "no"} if kind is NewsKind.PAYMENT_FAILED else 5) for kind in NewsKind),
    News(NewsKind.PAYMENT_SUCCESSFUL, 1, 7, 9, final=True),
]


@pytest.mark.parametrize("message", MESSAGES, ids=str)
def test_a_message_arrives_as_it_was_said(message: Message) -> None:
    assert decode(encode(message)) == message


@pytest.mark.parametrize(
    "payload",
    [b"", b" ", b"Queued", b"Queued {}", b"Queued null", b"Nothing {}", b'TakenOver {"cart_id": "x", "epoch": 1}',
     b'Queued {"cart_id":1,"seq":2,"command":{"type":"open_drawer","session_id":7},"node":null}',
     b"\xff\xfe {}", b"TakenOver " + b"[" * 100_000],
)  # fmt: skip
def test_what_no_node_says_is_refused(payload: bytes) -> None:
    with pytest.raises(NotAMessage):
        decode(payload)
