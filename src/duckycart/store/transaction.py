"""A transaction is one function, run in a writer thread; readers work beside it.

A caller hands over a function of a `Transaction`. The function is the transaction: it returns and everything it did is
committed, or it raises and nothing happened. It may be run again (a group that failed, a violated index), so it must
touch nothing but the database and `tx.effects`. Whatever has to be known after the commit goes into `effects`: they are
handed out (`after_commit.py`), in the order of the commits, in the event loop, before the caller itself is answered.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DataError, IntegrityError

from duckycart.effects import Effect
from duckycart.errors import Conflict, DuckyCartError, Refusal
from duckycart.refusals import AGAINST_THE_RULES, CONFLICT, DATABASE_UNAVAILABLE, NOT_STORABLE, OUTCOME_UNKNOWN
from duckycart.store.steady import SteadyClock

A = TypeVar("A")
T = TypeVar("T")


@dataclass(slots=True)
class Transaction:
    """What a transition works with: the connection, one reading of both clocks, and the effects to hand out after the
    commit."""

    connection: Connection
    now: int  # milliseconds since 1970, UTC: the time of day, for people
    steady: int  # milliseconds of the shop's steady clock (steady.py), for every decision of how long
    effects: list[Effect] = field(default_factory=list)


class Store(Protocol):
    """Runs transactions and reads, and keeps these promises on either database."""

    failures: int  # how often somebody was told Unavailable, ever
    clock: SteadyClock  # the steady hand of it may be read once a first transaction was run

    def write(
        self, work: Callable[[Transaction], T], *, hurry: bool = True, within: float | None = None
    ) -> Awaitable[T]:
        """Run `work` as one transaction; awaiting gives its result once that is durable.

        The work is handed over at once, in the order of the calls, whether somebody awaits it or not. `hurry` puts it
        before all that is not (shoppers before claims and receipts). Cancelling the caller does not cancel the work.

        Raises whatever `work` raised, after the commit of what it may have looked at; Unavailable when the database did
        not do it (full, locked, gone), and then nothing of it happened. Whatever the database does, and if it stands
        still, the answer comes `within` so many seconds (ANSWER_SECONDS): work that waits then, or is not at its COMMIT
        yet, is never done; of one that is, nobody knows, and the code is `outcome_unknown`.
        """

    async def read(self, look: Callable[[Connection], T]) -> T:
        """Run `look` on one consistent snapshot, in a thread, without waiting for writers. Raises Unavailable when the
        database cannot be read, or did not answer in ANSWER_SECONDS."""

    async def look_up(self, look: Callable[[Connection], T]) -> T:
        """Run `look`, which finds a few rows by their keys and nothing else, in the cheapest way that the database has.
        Each of its statements sees for itself what is committed. Raises what `read` raises."""

    async def close(self) -> None:
        """Finish what was handed over, then let go of the database; of one that stands still after CLOSE_SECONDS."""


class DatabaseInUse(Conflict):
    """Another server has this database."""


DATABASE_IN_USE: Final = Refusal(
    DatabaseInUse,
    "database_in_use",
    "Another DuckyCart server (process {pid}) uses {database}. Stop it, or give this one another --database.",
)


EffectsHandler = Callable[[list[Effect]], None]


class Job:
    """One function on its way through a writer's or a reader's thread, with what became of it."""

    __slots__ = ("answer", "committing", "done", "effects", "error", "given_up", "result", "work")

    def __init__(self, work: Callable[[Any], Any], answer: Callable[["Job"], None]) -> None:
        self.work = work  # of a Transaction; what only looks, of a Connection
        self.answer = answer  # called in the event loop, once, after the commit
        self.given_up = False  # its caller waits no longer. This and the next are the queue's (`Queue.give_up`)
        self.committing = False  # its COMMIT was begun: from here on it may be kept
        self.done = False  # its answer is on the way to the event loop
        self.result: Any = None
        self.error: BaseException | None = None
        self.effects: list[Effect] = []

    def run(self, connection: Connection, clock: SteadyClock) -> None:
        """Do the work, and remember its result; raises what the work raised, having kept nothing."""
        tx = Transaction(connection, clock.now(), clock.read(connection))
        self.result = storable(self.work, tx)
        self.effects = tx.effects

    def fail(self, error: BaseException) -> None:
        self.result = None
        self.effects = []
        self.error = error


def storable(work: Callable[[A], T], given: A) -> T:
    """Return `work(given)`. Raises BadRequest for a value that no column holds, which each driver says in its own way.

    The doors are to refuse such values; this is for the one that forgot.
    """
    try:
        return work(given)
    except (DataError, OverflowError, UnicodeError) as error:
        raise NOT_STORABLE() from error


def database_failed(error: BaseException) -> DuckyCartError:
    """Return the error for a caller whose work the database did not do. It shows neither the SQL nor its parameters."""
    failure = DATABASE_UNAVAILABLE()
    failure.__cause__ = error
    return failure


def outcome_unknown(error: BaseException | None = None) -> DuckyCartError:
    """Return the error for a caller whose database went away, or fell silent, during COMMIT. What was committed is
    delivered by the sweeps; a caller may repeat."""
    failure = OUTCOME_UNKNOWN()
    failure.__cause__ = error
    return failure


def violated(error: IntegrityError) -> DuckyCartError:
    """Return the error for a caller whose work broke a rule of the database twice in a row.

    Where the rule is a unique index, another was first, and the state is not what the request takes it for. Any other
    rule is broken by the request itself, whoever asks and however often.
    """
    refusal = CONFLICT() if _was_taken(error.orig) else AGAINST_THE_RULES()
    refusal.__cause__ = error
    return refusal


def _was_taken(error: BaseException | None) -> bool:
    name = getattr(error, "sqlite_errorname", "")
    return name.endswith(("_UNIQUE", "_PRIMARYKEY", "_ROWID")) or getattr(error, "sqlstate", None) == "23505"
