"""The link by itself: what it answers to pongs and to silence. Time is handed in."""

import pytest

from duckycart.hardware.ending import Ended
from duckycart.hardware.link import (
    PONG_SECONDS,
    SILENCE_SECONDS,
    Close,
    Link,
    NeedRows,
    Ping,
    Read,
    Send,
)
from duckycart.wire import Command, CommandType

START = 1000.0
QR = Command(CommandType.GENERATE_QR, None)


def link_at(seq: int = 0) -> Link:
    """An open link whose cart has heard everything up to `seq`."""
    link = Link(1, START)
    link.claimed(1, 0)
    assert link.fill((), seq, START) == []
    return link


def send(link: Link, *seqs: int, now: float = START) -> list[Send]:
    for seq in seqs:
        assert link.offer(seq, QR, now) == [Send(seq, QR), Ping(b"%d" % seq)]
    return [Send(seq, QR) for seq in seqs]


def test_each_command_is_followed_by_a_ping_with_its_seq() -> None:
    assert link_at(4).offer(5, QR, START) == [Send(5, QR), Ping(b"5")]


def test_nothing_is_sent_while_the_claim_is_on_its_way() -> None:
    link = Link(1, START)
    assert link.offer(1, QR, START) == []
    assert link.behind(1) == []
    assert link.fill((Send(1, QR),), 1, START) == [Send(1, QR), Ping(b"1")]


def test_a_command_committed_after_the_claims_rows_were_read_is_asked_for() -> None:
    link = Link(1, START)
    assert link.offer(3, QR, START) == []
    assert link.fill((), 2, START) == [NeedRows(2)]


def test_f28_a_gap_makes_the_link_read_the_rows_between() -> None:
    link = link_at()
    assert link.offer(2, QR, START) == [NeedRows(0)]
    assert link.offer(1, QR, START) == []
    assert link.fill((Send(1, QR), Send(2, QR)), 2, START) == [Send(1, QR), Ping(b"1"), Send(2, QR), Ping(b"2")]
    assert link.offer(2, QR, START) == []


def test_rows_that_could_not_be_read_are_asked_for_again() -> None:
    link = link_at()
    assert link.offer(2, QR, START) == [NeedRows(0)]
    link.fill_failed()
    assert link.behind(2) == [NeedRows(0)]


def test_f05_a_hint_of_a_command_that_is_not_there_is_looked_for_once() -> None:
    link = link_at()
    assert link.offer(1000, QR, START) == [NeedRows(0)]
    assert link.fill((Send(1, QR),), 1, START) == [Send(1, QR), Ping(b"1")]
    send(link, 2, 3)
    assert link.behind(5) == [NeedRows(3)]
    assert link.behind(6) == []
    assert link.fill((), 3, START) == [NeedRows(3)], "6 was hinted at after 5 was asked for"
    assert link.fill((), 3, START) == []


def test_f30_rows_read_before_a_receipt_came_are_not_sent_after_it() -> None:
    link = Link(1, START)
    link.claimed(7, 0)
    link.known(2)
    assert link.fill((Send(1, QR), Send(2, QR), Send(3, QR)), 3, START) == [Send(3, QR), Ping(b"3")]


def test_f32_what_an_earlier_boot_received_is_sent_to_the_next() -> None:
    link = Link(1, START)
    link.known(2)
    link.claimed(7, 1)
    assert link.fill((Send(2, QR),), 2, START) == [Send(2, QR), Ping(b"2")]


def test_f03_a_pong_proves_what_was_sent_before_its_ping_and_nothing_more() -> None:
    link = link_at()
    first, second, third = send(link, 1, 2, 3)
    assert link.pong(b"2", START) == [Read((first, second))]
    assert link.pong(b"2", START) == []
    assert link.pong(b"3", START) == [Read((third,))]


def test_f29_what_needed_no_sending_is_not_read() -> None:
    link = link_at()
    link.fill((Send(3, QR),), 4, START)
    link.probe(START)
    assert link.pong(b"4", START) == [Read((Send(3, QR),))]


@pytest.mark.parametrize("payload", [b"", b"2", b"0", b"01", b" 1", b"+1", b"1 ", b"-1", b"x" * 125, b"9" * 125])
def test_a_pong_nobody_asked_for_proves_nothing(payload: bytes) -> None:
    link = link_at()
    send(link, 1)
    assert link.pong(payload, START + 1) == []
    assert link.deadline == START + PONG_SECONDS
    assert link.pong(b"1", START + 1) == [Read((Send(1, QR),))]


def test_one_pong_answers_every_ping_with_its_payload() -> None:
    link = link_at()
    send(link, 1)
    assert link.probe(START + 1) == [Ping(b"1")]
    assert link.probe(START + 2) == [Ping(b"1")]
    assert link.pong(b"1", START + 3) == [Read((Send(1, QR),))]
    assert link.pong(b"1", START + 3) == []
    assert link.tick(START + 2 + PONG_SECONDS) == [Ping(b"1")]


def test_a_heartbeat_after_15_s_of_silence() -> None:
    link = link_at(7)
    assert link.tick(START + SILENCE_SECONDS - 0.1) == []
    assert link.tick(START + SILENCE_SECONDS) == [Ping(b"7")]
    assert link.tick(START + SILENCE_SECONDS + 1) == []


def test_any_frame_is_a_sign_of_life() -> None:
    link = link_at()
    link.heard(START + 14)
    assert link.tick(START + 28) == []
    assert link.tick(START + 29) == [Ping(b"0")]


def test_f05_20_s_without_a_pong_end_the_link_and_nothing_is_sent_again_before() -> None:
    link = link_at()
    send(link, 1)
    for second in range(20):
        assert link.tick(START + second) == []
    assert link.tick(START + PONG_SECONDS) == [Close(Ended.NO_PONG)]


def test_the_deadline_belongs_to_the_oldest_unanswered_ping() -> None:
    link = link_at()
    send(link, 1)
    send(link, 2, now=START + 19)
    assert link.tick(START + 20) == [Close(Ended.NO_PONG)]


def test_frames_that_are_no_pong_do_not_move_the_deadline() -> None:
    link = link_at()
    send(link, 1)
    link.heard(START + 19)
    assert link.tick(START + 20) == [Close(Ended.NO_PONG)]


def test_any_valid_pong_clears_the_deadline() -> None:
    link = link_at()
    send(link, 1)
    send(link, 2, now=START + 5)
    link.pong(b"1", START + 19)
    assert link.tick(START + 38) == []
    assert link.tick(START + 39) == [Close(Ended.NO_PONG)]


def test_f27_a_cart_that_blocks_for_10_s_is_not_dead() -> None:
    link = link_at()
    for begin in range(1000, 1100, 20):
        seq = link.last_seq + 1
        sent = send(link, seq, now=float(begin))
        for second in range(11):
            assert link.tick(begin + second) == []
        link.heard(begin + 10.0)
        assert link.pong(b"%d" % seq, begin + 10.0) == [Read(tuple(sent))]


def test_nothing_is_sent_after_the_close() -> None:
    link = link_at()
    assert link.close(Ended.TAKEN_OVER) == [Close(Ended.TAKEN_OVER)]
    assert link.close(Ended.NO_PONG) == []
    assert link.offer(1, QR, START) == []
    assert link.behind(9) == []
    assert link.fill((Send(1, QR),), 1, START) == []
    assert link.probe(START) == []
    link.heard(START)
    assert link.tick(START + 1000) == []


def test_f30_a_pong_that_comes_after_the_close_is_a_receipt_all_the_same() -> None:
    link = link_at()
    sent = send(link, 1)
    link.close(Ended.TAKEN_OVER)
    assert link.pong(b"1", START) == [Read(tuple(sent))]


def test_it_is_looked_at_in_time_for_the_next_heartbeat_even_while_a_pong_is_missing() -> None:
    link = link_at()
    send(link, 1)
    assert link.look_again_at(START) == START + SILENCE_SECONDS
    assert link.look_again_at(START + 10) == START + PONG_SECONDS
