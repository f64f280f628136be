"""Whatever the order, repetition and loss of offers: what a link sends is right. A search for counter-examples."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from duckycart.hardware.ending import Ended
from duckycart.hardware.link import Close, Link, NeedRows, Outputs, Ping, Read, Send
from duckycart.wire import Command, CommandType


def command(seq: int) -> Command:
    return Command(CommandType.END_SESSION, seq)


class LinkMachine(RuleBasedStateMachine):
    """A database that only grows, a link, and between them a bus that loses, doubles and reorders."""

    def __init__(self) -> None:
        super().__init__()
        self.link = Link(1, 0.0)
        self.now = 0.0
        self.committed = 0
        self.void: set[int] = set()  # what catch-up judged void when it read the row
        self.asked: list[int] = [0]  # NeedRows on their way; the claim's is the first
        self.sent: list[int] = []
        self.read: list[int] = []
        self.pings: list[bytes] = []
        self.closed = False
        self.claimed = False

    def take(self, outputs: Outputs) -> None:
        was_closed = self.closed
        for output in outputs:
            match output:
                case Send(seq, sent_command):
                    assert not was_closed
                    assert sent_command == command(seq)
                    self.sent.append(seq)
                case Ping(payload):
                    assert not was_closed
                    self.pings.append(payload)
                case Read(sent):
                    self.read += [send.seq for send in sent]
                case NeedRows(after_seq):
                    assert not self.asked, "one question at a time"
                    self.asked.append(after_seq)
                case Close():
                    assert not was_closed
                    self.closed = True

    @rule()
    def commit(self) -> None:
        self.committed += 1

    @precondition(lambda self: self.committed)
    @rule(data=st.data())
    def offer(self, data: st.DataObject) -> None:
        seq = data.draw(st.integers(1, self.committed))
        self.take(self.link.offer(seq, command(seq), self.now))

    @precondition(lambda self: self.committed)
    @rule(data=st.data())
    def sweep(self, data: st.DataObject) -> None:
        self.take(self.link.behind(data.draw(st.integers(1, self.committed))))

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        """The rows as they were at any moment between the question and now."""
        after_seq = self.asked.pop()
        through = data.draw(st.integers(after_seq, self.committed))
        between = range(after_seq + 1, through + 1)
        keep = data.draw(st.sets(st.sampled_from(between)) if between else st.just(set()))
        self.void |= set(between) - keep
        rows = tuple(Send(seq, command(seq)) for seq in sorted(keep))
        if not self.claimed:
            self.link.claimed(1, 0)
            self.claimed = True
        self.take(self.link.fill(rows, through, self.now))

    @precondition(lambda self: self.asked and self.claimed)
    @rule()
    def answer_is_lost(self) -> None:
        self.asked.pop()
        self.link.fill_failed()

    @precondition(lambda self: self.pings)
    @rule(data=st.data())
    def pong(self, data: st.DataObject) -> None:
        """The cart read the first n of our frames, and answers the last ping among them (RFC 6455, 5.5.3)."""
        payload = data.draw(st.sampled_from(self.pings))
        self.link.heard(self.now)
        self.take(self.link.pong(payload, self.now))

    @rule(payload=st.one_of(st.binary(max_size=4), st.integers(0, 99).map(lambda number: b"%d" % number)))
    def forged_pong(self, payload: bytes) -> None:
        before = list(self.read)
        self.take(self.link.pong(payload, self.now))
        if payload not in self.pings:
            assert self.read == before

    @rule(seconds=st.integers(0, 25))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds
        self.take(self.link.tick(self.now))

    @rule()
    def probe(self) -> None:
        self.take(self.link.probe(self.now))

    @rule(really=st.integers(0, 9))
    def close(self, really: int) -> None:
        if really == 0:
            self.take(self.link.close(Ended.TAKEN_OVER))

    @invariant()
    def in_order_and_never_twice(self) -> None:
        assert self.sent == sorted(set(self.sent))

    @invariant()
    def nothing_is_skipped_that_was_not_read_as_void(self) -> None:
        through = self.sent[-1] if self.sent else 0
        assert set(range(1, through + 1)) - set(self.sent) <= self.void

    @invariant()
    def what_is_read_was_sent_in_order(self) -> None:
        assert self.read == self.sent[: len(self.read)]

    def teardown(self) -> None:
        """A sweep that is answered brings a living link to the present, whatever came before."""
        if self.closed:
            return
        if not self.asked:
            self.take(self.link.behind(self.committed))
        while self.asked:
            after_seq = self.asked.pop()
            rows = tuple(Send(seq, command(seq)) for seq in range(after_seq + 1, self.committed + 1))
            self.take(self.link.fill(rows, self.committed, self.now))
        assert set(self.sent) | self.void >= set(range(1, self.committed + 1))


LinkMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestLink = LinkMachine.TestCase
