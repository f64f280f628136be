"""A link is one connection of one cart, free of I/O: its methods take what happened and when, and return what to do.

Frames keep their order, and every WebSocket library answers pings by itself (RFC 6455, 5.5.2). So after each command
the link pings with the command's seq, and the pong for N proves that the cart's socket read everything sent on this
link up to N: receipts from carts that know nothing of receipts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from duckycart.hardware.ending import CLOSES, Ended
from duckycart.wire import Command

SILENCE_SECONDS: Final = 15.0  # after this long without a frame from the cart, a heartbeat
PONG_SECONDS: Final = 20.0  # for the oldest unanswered ping: fielded carts block for up to 10 s (F27)


@dataclass(frozen=True, slots=True)
class Send:
    """Write this command as a text frame."""

    seq: int
    command: Command


@dataclass(frozen=True, slots=True)
class Ping:
    payload: bytes


@dataclass(frozen=True, slots=True)
class NeedRows:
    """Read the outstanding rows after this seq and hand them to `fill`; until then nothing is sent."""

    after_seq: int


@dataclass(frozen=True, slots=True)
class Read:
    """The cart's socket has read these commands."""

    sent: tuple[Send, ...]


@dataclass(frozen=True, slots=True)
class Close:
    why: Ended

    @property
    def code(self) -> int:
        return CLOSES[self.why][0]

    @property
    def reason(self) -> str:
        """The words of the close frame."""
        return CLOSES[self.why][1]


Output = Send | Ping | NeedRows | Read | Close
Outputs = list[Output]


class Link:
    """Decides what is sent on one connection, from what was offered and what the cart answered. Times are seconds of a
    clock that only grows."""

    __slots__ = (
        "_asked",
        "_closed",
        "_heard_at",
        "_highest",
        "_holding",
        "_known",
        "_pinged",
        "_pinged_at",
        "_silence",
        "_unread",
        "cart_id",
        "commands_read",
        "commands_sent",
        "epoch",
        "generation",
        "last_seq",
    )

    def __init__(self, cart_id: int, now: float, silence: float = SILENCE_SECONDS) -> None:
        self.cart_id = cart_id
        self.epoch = 0  # set by the claim
        self.generation = 0  # which boot of the cart this is, set by the claim
        self.last_seq = 0  # everything up to it was sent here, or needs no sending
        self.commands_sent = 0
        self.commands_read = 0
        self._holding = True  # waiting for rows: for the claim's, or for those of a gap
        self._highest = 0  # offered while holding
        self._asked = 0  # what it was when the rows were last asked for
        self._known = 0  # the seq up to which this boot of the cart has the commands
        self._unread: tuple[Send, ...] = ()  # sent here, no pong yet
        self._pinged: tuple[bytes, ...] = ()  # payloads not answered yet, the oldest first
        self._pinged_at = 0.0  # of the oldest of them, or of the last pong if that left some
        self._heard_at = now
        self._silence = silence  # each link's own, so that heartbeats spread
        self._closed = False

    def claimed(self, epoch: int, generation: int) -> None:
        """Take the epoch and boot of the claim: this connection owns the cart. `fill` with the claim's rows comes
        next."""
        self.epoch = epoch
        self.generation = generation
        self._known = 0  # until now nobody knew which boot this is

    def offer(self, seq: int, command: Command, now: float) -> Outputs:
        """Send a committed command once and in order, however often and in whatever order commands are offered."""
        if self._closed or seq <= self.last_seq:
            return []
        if self._holding:
            self._highest = max(self._highest, seq)
            return []
        if seq > self.last_seq + 1:
            return self.behind(seq)
        return self._send(Send(seq, command), now)

    def behind(self, seq: int) -> Outputs:
        """Ask for the rows that this link has not sent, since the cart has commands up to `seq`."""
        if self._closed or seq <= self.last_seq:
            return []
        self._highest = max(self._highest, seq)
        if self._holding:
            return []
        self._holding = True
        self._asked = self._highest
        return [NeedRows(self.last_seq)]

    def fill(self, rows: Sequence[Send], through: int, now: float) -> Outputs:
        """Send `rows`, the answer to NeedRows or to the claim; nothing else up to `through` needs sending."""
        if self._closed:
            return []
        outputs: Outputs = []
        for row in rows:
            if row.seq > self._known:
                outputs += self._send(row, now)
        self.last_seq = max(self.last_seq, through)
        self._holding = False
        # Of what was asked for and is not there, nobody can say more: a hint that was wrong ends here, or it would be
        # asked for without end.
        if self._highest > max(self.last_seq, self._asked):
            outputs += self.behind(self._highest)
        else:
            self._highest = self.last_seq
        return outputs

    def known(self, seq: int) -> None:
        """Never send rows up to `seq`: this boot of the cart has them, as another link or a call says (F30)."""
        self._known = max(self._known, seq)

    def fill_failed(self) -> int:
        """Stop waiting for rows that could not be read. Returns up to which seq they are wanted: `behind` asks
        again."""
        self._holding = False
        return self._highest

    def _send(self, send: Send, now: float) -> Outputs:
        self.last_seq = send.seq
        self._unread += (send,)
        self.commands_sent += 1
        return [send, self._ping(now)]

    def _ping(self, now: float) -> Ping:
        if not self._pinged:
            self._pinged_at = now
        payload = b"%d" % self.last_seq
        self._pinged += (payload,)
        return Ping(payload)

    def probe(self, now: float) -> Outputs:
        """Ask for a sign of life now."""
        return [] if self._closed else [self._ping(now)]

    def pong(self, payload: bytes, now: float) -> Outputs:
        """Take a pong: an answer to one of our pings, or a frame like any other (RFC 6455 allows unsolicited pongs).

        One that comes after `close` is a fact all the same: what was read must not be sent again (F30).
        """
        if not self.awaits(payload):
            self.heard(now)
            return []
        self._heard_at = now
        # Only the latest ping need be answered (RFC 6455, 5.5.3), so this one answers all before it.
        newest = len(self._pinged) - self._pinged[::-1].index(payload)
        self._pinged = self._pinged[newest:]
        self._pinged_at = now
        seq = int(payload)
        read = tuple(sent for sent in self._unread if sent.seq <= seq)
        if not read:
            return []
        self._unread = self._unread[len(read) :]
        self.commands_read += len(read)
        return [Read(read)]

    def awaits(self, payload: bytes) -> bool:
        """Return whether a pong with this payload answers a ping of ours: such a pong is no flood, since we asked."""
        return payload in self._pinged

    def heard(self, now: float) -> None:
        """Note that a frame arrived that answers nothing of ours."""
        if not self._closed:
            self._heard_at = now

    def tick(self, now: float) -> Outputs:
        """Send a heartbeat, or close for want of a pong, if the time that `deadline` named has come."""
        if self._closed or now < self.deadline:
            return []
        if self._pinged:
            return self.close(Ended.NO_PONG)
        return [self._ping(now)]

    def close(self, why: Ended) -> Outputs:
        """Close the connection from this side, for a reason that has a close code. Nothing is sent afterwards."""
        if self._closed:
            return []
        self._closed = True
        return [Close(why)]

    def lost(self) -> None:
        """Send nothing any more: the connection is gone."""
        self._closed = True

    @property
    def all_read(self) -> bool:
        """Whether every command sent here has its receipt."""
        return not self._unread

    @property
    def deadline(self) -> float:
        """When `tick` has to be called next."""
        return self._pinged_at + PONG_SECONDS if self._pinged else self._heard_at + self._silence

    def look_again_at(self, now: float) -> float:
        """Return a time before which no `deadline` comes, whatever happens: a pong only makes room for a heartbeat."""
        return min(self.deadline, now + self._silence)
