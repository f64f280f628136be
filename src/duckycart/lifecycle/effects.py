"""What a committed transaction tells the rest of the shop. None of it is told before the commit returned."""

from dataclasses import dataclass, field

from duckycart.wire import Command


@dataclass(frozen=True, slots=True)
class Queued:
    """A command row was committed. A hint: whoever misses it finds the row."""

    cart_id: int
    seq: int
    command: Command
    node: str | None  # who holds the cart's link, None while it is offline


@dataclass(frozen=True, slots=True)
class Received:
    """The cart has this command and all before it: a pong says so, or a call of the cart that names its session."""

    cart_id: int
    seq: int
    command: Command
    generation: int  # of the cart's boot that has it; a later one has not


@dataclass(frozen=True, slots=True)
class Superseded:
    """Catch-up judged a command void; the cart will not see it."""

    cart_id: int
    seq: int


@dataclass(frozen=True, slots=True)
class Happened:
    """A transition, for the log and for those who watch a session. `fields` hold no secret."""

    event: str
    cart_id: int
    session_id: int | None = None
    fields: dict[str, str | int | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something an operator must look at; also a row of `alarms`."""

    kind: str
    detail: str
    cart_id: int | None = None
    session_id: int | None = None
