"""A shopper says how it was, as the cart's screen asks after each payment: one answer for each session."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from duckycart.lifecycle.access import Who, find_session
from duckycart.refusals import NO_FEEDBACK
from duckycart.store.tables import feedback
from duckycart.store.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Feedback:
    id: int
    session_id: int
    satisfaction: int | str  # in the screen's own words
    selected_item_ids: list[int | str]
    additional_comments: str | None
    created_at: int  # when it was last said


_COLUMNS: Final = (
    feedback.c.id,
    feedback.c.session_id,
    feedback.c.satisfaction,
    feedback.c.selected_item_ids,
    feedback.c.additional_comments,
    feedback.c.created_at,
)
_OF_SESSION: Final = select(*_COLUMNS).where(feedback.c.session_id == bindparam("of"))
_INSERT: Final = insert(feedback).returning(*_COLUMNS)
_REPLACE: Final = (
    update(feedback)
    .where(feedback.c.session_id == bindparam("of"))
    .values(
        satisfaction=bindparam("answer"),
        selected_item_ids=bindparam("chosen"),
        additional_comments=bindparam("comments"),
        created_at=bindparam("at"),
    )
    .returning(*_COLUMNS)
)


def give_feedback(
    tx: Transaction,
    who: Who,
    session_id: int,
    satisfaction: int | str,
    selected_item_ids: list[int | str],
    additional_comments: str | None,
) -> Feedback:
    """Keep a session's answer, in place of the one before if there is one. Raises NotFound for another's session."""
    find_session(tx.connection, who, session_id)
    answer, chosen = json.dumps(satisfaction), json.dumps(selected_item_ids)
    changes = {"of": session_id, "answer": answer, "chosen": chosen, "comments": additional_comments, "at": tx.now}
    row = tx.connection.execute(_REPLACE, changes).one_or_none()
    if row is None:
        values = {
            "session_id": session_id,
            "satisfaction": answer,
            "selected_item_ids": chosen,
            "additional_comments": additional_comments,
            "created_at": tx.now,
        }
        row = tx.connection.execute(_INSERT, values).one()  # two at once: one of them is run again
    return _feedback_of(row)


def read_feedback(connection: Connection, who: Who, session_id: int) -> Feedback:
    """Return the answer of a session. Raises NotFound for another's session, and while there is none."""
    find_session(connection, who, session_id)
    row = connection.execute(_OF_SESSION, {"of": session_id}).one_or_none()
    if row is None:
        raise NO_FEEDBACK(session_id=session_id)
    return _feedback_of(row)


def all_feedback(connection: Connection) -> Iterator[Feedback]:
    """Return every answer, the oldest first."""
    for row in connection.execute(select(*_COLUMNS).order_by(feedback.c.id)):
        yield _feedback_of(row)


def _feedback_of(row: Row[*tuple[Any, ...]]) -> Feedback:
    number, session_id, satisfaction, chosen, comments, created_at = row
    return Feedback(number, session_id, json.loads(satisfaction), json.loads(chosen), comments, created_at)
