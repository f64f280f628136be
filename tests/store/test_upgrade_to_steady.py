"""A shop whose clock ran ahead is upgraded: nothing of before lasts longer for it, and nothing ends (F50)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Connection, Engine, make_url, select, text
from sqlalchemy.sql.schema import Table

from duckycart.clock import SystemClock
from duckycart.lifecycle.access import admit_screen
from duckycart.lifecycle.payments import unsettled_payments
from duckycart.lifecycle.rules import Rules
from duckycart.lifecycle.sessions import idle_sessions
from duckycart.store import postgres
from duckycart.store.migrate import _config, migrate_sqlite, upgrade_postgres
from duckycart.store.sqlite import engine_for
from duckycart.store.tables import carts, idempotency_keys, payments, sessions, steady_clock, users
from tests.postgres import Postgres

YEARS = 10 * 365 * 86_400_000
RULES = Rules()


@pytest.fixture(params=["sqlite", "postgres"])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Engine, Any]]:
    """A database of the schema before, and how it is upgraded."""
    if request.param == "sqlite":
        path = tmp_path / "old.db"
        engine = engine_for(path)
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
            command.upgrade(_config(connection), "0004")
        yield engine, lambda: migrate_sqlite(path)
        engine.dispose()
        return
    server: Postgres = request.getfixturevalue("postgres")
    with server.database() as url:
        engine = postgres.engine_for(url)
        with engine.begin() as connection:
            command.upgrade(_config(connection), "0004")
        yield engine, lambda: upgrade_postgres(make_url(url))
        engine.dispose()


def put(connection: Connection, table: Table, **values: Any) -> None:
    """A row as the version before wrote it: it knew none of the later columns."""
    names = ", ".join(values)
    marks = ", ".join(f":{name}" for name in values)
    connection.execute(text(f"INSERT INTO {table.name} ({names}) VALUES ({marks})"), values)


def furnish(connection: Connection, at: int) -> None:
    """An empty session, one with an open payment, one that was paid, a kept result: all of this moment."""
    put(connection, users, id=1, full_name="Mona", is_active=True, is_operator=False, created_at=at)
    put(connection, users, id=2, full_name="Omar", is_active=True, is_operator=False, created_at=at)
    for cart_id in (1, 2):
        put(connection, carts, id=cart_id, key_hash=bytes([cart_id]), qr_expires_at=at + 300_000, link_changed_at=at,
            created_at=at)  # fmt: skip
        put(connection, sessions, id=cart_id, cart_id=cart_id, user_id=cart_id, qr_round=1, is_active=True,
            created_at=at, touched_at=at, version=1)  # fmt: skip
    put(connection, sessions, id=3, cart_id=2, user_id=2, qr_round=1, is_active=False, created_at=at, touched_at=at,
        ended_at=at, end_reason="paid", version=1)  # fmt: skip
    put(connection, payments, id=1, session_id=2, provider="sandbox", token="t", state="open", amount=1,
        currency="EGP", created_at=at)  # fmt: skip
    put(connection, idempotency_keys, scope="s", key="k", fingerprint=b"", result="", created_at=at)


@pytest.mark.parametrize("ahead", [0, YEARS])
def test_f50_what_the_version_before_wrote_lasts_for_its_time_from_the_upgrade_on(
    old: tuple[Engine, Any], ahead: int
) -> None:
    engine, upgrade = old
    machine = SystemClock()
    with engine.begin() as connection:
        furnish(connection, machine.now() + ahead)
    upgrade()
    with engine.begin() as connection:
        steady = connection.execute(select(steady_clock.c.ms)).scalar_one()
        assert abs(steady - machine.now()) < 3_600_000
        assert not idle_sessions(connection, steady, RULES)
        assert not unsettled_payments(connection, steady, RULES, 60, 0, 20)
        admit_screen(connection, 3, steady)

        later = steady + RULES.payment_seconds * 1000 + 1
        assert sorted(idle_sessions(connection, later, RULES)) == [(1, 1), (2, 2)]
        assert [payment.id for payment in unsettled_payments(connection, later, RULES, 60, 0, 20)] == [1]
        with pytest.raises(Exception, match="over"):
            admit_screen(connection, 3, later)
        stamps = [carts.c.link_changed_at, carts.c.screen_changed_at, idempotency_keys.c.created_at]
        for stamp in stamps:
            assert connection.execute(select(stamp)).scalars().first() <= steady
        assert connection.execute(select(carts.c.qr_expires_at)).scalars().first() <= steady + 86_400_000


def test_f50_an_empty_database_begins_with_its_first_server(old: tuple[Engine, Any]) -> None:
    engine, upgrade = old
    upgrade()
    with engine.begin() as connection:
        assert connection.execute(select(steady_clock)).first() is None
