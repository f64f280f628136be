"""From a file to PostgreSQL, and forgetting what is old."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, make_url, select, text, update

from duckycart.clock import SystemClock
from duckycart.lifecycle.retention import FORGOTTEN
from duckycart.store import copy as copying
from duckycart.store.address import locate
from duckycart.store.database import engine_for, transact
from duckycart.store.sqlite import FileLock
from duckycart.store.tables import (
    alarms,
    analytics,
    basket_lines,
    carts,
    commands,
    metadata,
    payments,
    products,
    sessions,
    steady_clock,
    users,
)
from duckycart.store.transaction import Transaction
from tests.admin.conftest import Shell
from tests.store.test_constraints import ENDED, OTHER_CART, OTHER_USER, ROWS

DAY = 86_400_000
NOW = SystemClock().now()
OLD = {**ENDED, "ended_at": NOW - 100 * DAY}


def furnish(tx: Transaction) -> None:
    """A row in each table."""
    for table, row in ROWS.items():
        tx.connection.execute(table.insert().values({**row, "ms": NOW} if table is steady_clock else row))
    tx.connection.execute(carts.insert().values({**ROWS[carts], **OTHER_CART}))
    tx.connection.execute(users.insert().values({**ROWS[users], **OTHER_USER}))
    if tx.connection.dialect.name == "postgresql":  # which does not count on from an id that was given to it
        tx.connection.execute(text("SELECT setval('users_id_seq', 100)"))


def contents(engine: Engine) -> dict[str, list[Any]]:
    with engine.connect() as connection:
        return {
            table.name: sorted((tuple(row) for row in connection.execute(select(table))), key=repr)
            for table in metadata.sorted_tables
        }


@pytest.fixture
def file(sqlite_database: str) -> Iterator[Engine]:
    engine = engine_for(locate(sqlite_database))
    transact(engine, SystemClock(), furnish)
    yield engine
    engine.dispose()


@pytest.fixture
def grown(postgres_database: str) -> Iterator[Engine]:
    engine = engine_for(make_url(postgres_database))
    yield engine
    engine.dispose()


def test_everything_is_the_same_afterwards_and_ids_go_on(
    shell: Shell, file: Engine, grown: Engine, postgres_database: str
) -> None:
    def gave_and_took_back(tx: Transaction) -> int:
        number = tx.connection.execute(products.insert().values({**ROWS[products], "id": None, "barcode_number": "2"})
                                       .returning(products.c.id)).scalar_one()  # fmt: skip
        tx.connection.execute(products.delete().where(products.c.id == number))
        return int(number)

    highest = transact(file, SystemClock(), gave_and_took_back)
    result = shell.invoke("db", "copy", postgres_database)
    assert result.exit_code == 0, result.output
    assert "carts: 2 of 2 rows" in result.stderr
    assert contents(grown) == contents(file)

    def give(tx: Transaction) -> int:
        row = {name: value for name, value in ROWS[products].items() if name != "id"}
        return int(tx.connection.execute(
            products.insert().values({**row, "barcode_number": "3"}).returning(products.c.id)
        ).scalar_one())  # fmt: skip

    assert transact(grown, SystemClock(), give) == highest + 1


def test_nothing_is_copied_over_something(shell: Shell, file: Engine, grown: Engine, postgres_database: str) -> None:
    transact(grown, SystemClock(), lambda tx: tx.connection.execute(alarms.insert().values(ROWS[alarms])))
    before = contents(grown)
    assert shell.json_error("db", "copy", postgres_database)["error"] == "not_empty"
    assert contents(grown) == before


def test_a_copy_that_differs_is_not_kept(
    shell: Shell, file: Engine, grown: Engine, postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = copying._copy_table

    def lose_a_cart(reading: Any, writing: Any, table: Any, progress: Any) -> int:
        count = really(reading, writing, table, progress)
        if table is carts:
            writing.execute(update(carts).where(carts.c.id == 2).values(qr_round=77))
        return count

    monkeypatch.setattr(copying, "_copy_table", lose_a_cart)
    assert shell.json_error("db", "copy", postgres_database)["error"] == "copy_differs"
    assert not any(contents(grown).values())


def test_a_file_with_a_server_is_not_copied(shell: Shell, file: Engine, postgres_database: str) -> None:
    lock = FileLock(shell.database)
    try:
        assert shell.json_error("db", "copy", postgres_database)["error"] == "database_in_use"
    finally:
        lock.release()


def test_a_file_is_no_target(shell: Shell, file: Engine) -> None:
    assert "db backup" in shell.fails("db", "copy", "sqlite:///other.db")


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    engine = engine_for(locate(request.getfixturevalue(f"{request.param}_database")))
    transact(engine, SystemClock(), furnish)
    yield engine
    engine.dispose()


def prune(shell: Shell, engine: Engine, days: int = 90) -> Any:
    url = engine.url.render_as_string(hide_password=False)
    return shell.json("db", "prune", "--days", days, DUCKYCART_DATABASE=url)


def end_long_ago(tx: Transaction, state: str = "received") -> None:
    tx.connection.execute(update(sessions).values(OLD))
    tx.connection.execute(update(commands).values(state=state))


def test_of_an_old_session_the_books_stay_and_the_person_goes(shell: Shell, engine: Engine) -> None:
    transact(engine, SystemClock(), end_long_ago)
    gone = prune(shell, engine)
    assert (gone["sessions"], gone["commands"]) == (1, 1)
    left = contents(engine)
    for table in (basket_lines, commands):
        assert left[table.name] == []
    assert len(left["payments"]) == len(left["sessions"]) == len(left["analytics"]) == 1
    with engine.connect() as connection:
        nobody = connection.execute(select(users.c.id, users.c.is_active).where(users.c.full_name == FORGOTTEN)).one()
        assert not nobody.is_active
        for column in (sessions.c.user_id, analytics.c.user_id):
            assert connection.execute(select(column)).scalar_one() == nobody.id
        assert connection.execute(select(payments.c.amount)).scalar_one() == ROWS[payments]["amount"]
    assert prune(shell, engine)["sessions"] == 0


def test_what_is_younger_active_or_not_heard_yet_stays_whole(shell: Shell, engine: Engine) -> None:
    keep = ("sessions", "basket_lines", "commands", "payments", "analytics", "fraud_warnings", "session_locations")
    for change in (lambda tx: None, lambda tx: end_long_ago(tx, "queued")):
        transact(engine, SystemClock(), change)
        before = contents(engine)
        assert prune(shell, engine)["sessions"] == 0
        assert {name: contents(engine)[name] for name in keep} == {name: before[name] for name in keep}
    transact(engine, SystemClock(), lambda tx: end_long_ago(tx))
    assert prune(shell, engine, days=101)["sessions"] == 0


def test_guests_without_a_session_and_settled_qrs_go(shell: Shell, engine: Engine) -> None:
    def add(tx: Transaction) -> None:
        guest = {"full_name": "Guest", "is_active": True, "is_operator": False, "guest_cart_id": 1, "guest_round": 1}
        for number, created_at in ((10, 0), (11, NOW)):
            tx.connection.execute(users.insert().values({**guest, "id": number, "created_at": created_at}))
        qr = {**ROWS[commands], "type": "generate_qr", "session_id": None, "queued_at": 0}
        for seq, state in ((2, "received"), (3, "queued")):
            tx.connection.execute(commands.insert().values({**qr, "seq": seq, "state": state}))

    transact(engine, SystemClock(), add)
    gone = prune(shell, engine)
    assert (gone["guests"], gone["commands"]) == (1, 1)
    with engine.connect() as connection:
        assert list(connection.scalars(select(commands.c.seq).order_by(commands.c.seq))) == [1, 3]
        assert 11 in list(connection.scalars(select(users.c.id)))


def test_days_must_be_given_and_sensible(shell: Shell, file: Path) -> None:
    for arguments in ((), ("--days", "0"), ("--days", "many")):
        assert shell.invoke("db", "prune", *arguments).exit_code == 2
