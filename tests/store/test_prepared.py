"""A prepared statement is the same statement, only quicker: its rows, values and failures are SQLAlchemy's."""

from typing import Any

import pytest
from sqlalchemy import Connection, bindparam, insert, select, update
from sqlalchemy.exc import DBAPIError, NoResultFound

from duckycart.errors import Conflict
from duckycart.store.prepared import prepared, together
from duckycart.store.tables import carts, commands
from duckycart.store.transaction import Store, Transaction

NEW = {"key_hash": b"k", "created_at": 5}
OLDEST = select(carts.c.id, carts.c.key_hash, carts.c.disabled, carts.c.session_id, carts.c.status).order_by(carts.c.id)
INSERT = prepared(insert(carts), "id", *NEW)
READ = prepared(OLDEST.where(carts.c.id >= bindparam("least")))
MOVE = update(carts).where(carts.c.id >= bindparam("least")).values(disabled=True, last_seq=carts.c.last_seq + 1)
RETURNING = prepared(MOVE.returning(carts.c.id, carts.c.disabled, carts.c.last_seq))


def add(tx: Transaction, *ids: int) -> None:
    INSERT.many(tx.connection, [{"id": number, **NEW, "key_hash": b"%d" % number} for number in ids])


async def test_rows_are_those_of_sqlalchemy(either: Store) -> None:
    def both(tx: Transaction) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        add(tx, 1, 2, 3)
        mine = [row._asdict() for row in READ.all(tx.connection, least=2)]
        core = tx.connection.execute(OLDEST.where(carts.c.id >= 2))
        return mine, [dict(row._mapping) for row in core]

    mine, core = await either.write(both)
    assert mine == core
    assert [type(value) for value in mine[0].values()] == [type(value) for value in core[0].values()]
    assert mine[0]["disabled"] is False


async def test_values_that_stand_in_the_statement_are_kept_in_it(either: Store) -> None:
    def move(tx: Transaction) -> tuple[int, list[tuple[Any, ...]]]:
        add(tx, 1, 2)
        changed = prepared(MOVE).run(tx.connection, least=2)
        return changed, [tuple(row) for row in RETURNING.all(tx.connection, least=1)]

    changed, rows = await either.write(move)
    assert changed == 1
    assert sorted(rows) == [(1, True, 1), (2, True, 2)]


async def test_one_row_or_none(either: Store) -> None:
    def ask(tx: Transaction) -> None:
        add(tx, 1)
        assert READ.one(tx.connection, least=1).id == READ.scalar(tx.connection, least=1) == 1
        assert READ.one_or_none(tx.connection, least=2) is READ.scalar_or_none(tx.connection, least=2) is None
        with pytest.raises(NoResultFound):
            READ.one(tx.connection, least=2)

    await either.write(ask)


TOGETHER = together(
    prepared(update(carts).where(carts.c.id == bindparam("first")).values(last_seq=bindparam("newest"), disabled=True)),
    prepared(insert(commands), "cart_id", "seq", "type", "attempted", "boot_generation", "queued_at"),
)
COMMAND = {"cart_id": 1, "type": "generate_qr", "attempted": False, "boot_generation": 0, "queued_at": 5}


async def test_changes_that_are_made_together_are_both_made(either: Store) -> None:
    def change(tx: Transaction) -> None:
        add(tx, 1, 2)
        TOGETHER.run(tx.connection, first=1, newest=7, seq=7, **COMMAND)

    def found(connection: Connection) -> tuple[Any, ...]:
        rows = connection.execute(select(carts.c.id, carts.c.last_seq, carts.c.disabled).order_by(carts.c.id))
        return [tuple(row) for row in rows], connection.execute(select(commands.c.cart_id, commands.c.seq)).all()

    await either.write(change)
    assert await either.read(found) == ([(1, 7, True), (2, 0, False)], [(1, 7)])


async def test_of_changes_that_are_made_together_none_is_when_one_breaks_a_rule(either: Store) -> None:
    def change(tx: Transaction) -> None:
        TOGETHER.run(tx.connection, first=1, newest=8, seq=7, **COMMAND)

    await either.write(lambda tx: add(tx, 1))
    await either.write(lambda tx: TOGETHER.run(tx.connection, first=1, newest=7, seq=7, **COMMAND))
    with pytest.raises(Conflict):
        await either.write(change)
    assert await either.read(lambda connection: connection.execute(select(carts.c.last_seq)).scalar_one()) == 7


@pytest.mark.parametrize("many", [False, True])
async def test_a_rule_that_is_broken_is_told_and_undone_as_ever(either: Store, many: bool) -> None:
    """The store runs the work once more, since somebody else may have been first, and then says so."""
    runs = []

    def twice(tx: Transaction) -> None:
        runs.append(tx)
        add(tx, 1)
        if many:
            add(tx, 2, 1)
        else:
            INSERT.run(tx.connection, id=1, **NEW)

    with pytest.raises(Conflict) as refused:
        await either.write(twice)
    assert isinstance(refused.value.__cause__, DBAPIError)
    assert len(runs) > 1
    assert await either.read(lambda connection: READ.all(connection, least=0)) == []
