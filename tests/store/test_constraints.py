"""The database defends the state machine: what must not be is refused by it, whoever asks."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Table, insert
from sqlalchemy.exc import IntegrityError

from duckycart.store.sqlite import engine_for
from duckycart.store.tables import (
    alarms,
    analytics,
    basket_lines,
    boots,
    carts,
    commands,
    connections,
    feedback,
    fraud_warnings,
    idempotency_keys,
    metadata,
    nodes,
    pairings,
    payments,
    products,
    provider_events,
    refusals,
    session_locations,
    sessions,
    shop_address,
    shop_currency,
    signing_keys,
    steady_clock,
    users,
)

# A row of each table that is as it should be; a test says what is wrong with the next one.
ROWS: dict[Table, dict[str, Any]] = {
    steady_clock: {"id": 1, "ms": 0, "boot_ms": 0},
    signing_keys: {"kid": "k1", "secret": b"s", "created_at": 0},
    shop_currency: {"id": 1, "code": "EGP", "digits": 2},
    shop_address: {"id": 1, "url": "https://shop.example"},
    nodes: {"id": "a/1", "beats": 0, "links": 0, "started_at": 0, "seen_at": 0},
    carts: {"id": 1, "key_hash": b"1", "created_at": 0},
    boots: {"cart_id": 1, "boot_id": "b1", "generation": 1, "heard_seq": 0, "told_seq": 0, "left_epoch": 2},
    users: {"id": 1, "email": "a@b.c", "username": "a", "full_name": "", "is_active": True, "is_operator": False,
            "created_at": 0},
    sessions: {"id": 1, "cart_id": 1, "user_id": 1, "qr_round": 1, "is_active": True, "created_at": 0, "touched_at": 0,
               "version": 1},
    commands: {"cart_id": 1, "seq": 1, "type": "session_started", "session_id": 1, "attempted": False,
               "boot_generation": 0, "queued_at": 0},
    connections: {"cart_id": 1, "place": 1, "epoch": 1, "node": "a/1", "since": 0},
    refusals: {"cart_id": 1, "reason": "wrong_key", "times": 1, "last_at": 0},
    products: {"id": 1, "barcode": "1", "barcode_number": "1", "description": "", "description_ar": "",
               "product_size": "", "unit_price": 0},
    basket_lines: {"session_id": 1, "product_id": 1, "quantity": 1, "unit_price": 0, "saved_weight": 0, "added_at": 0},
    payments: {"id": 1, "session_id": 1, "provider": "sandbox", "token": "t1", "provider_ref": "r1", "state": "open",
               "amount": 1, "currency": "EGP", "created_at": 0},
    provider_events: {"provider": "sandbox", "event_id": "e1", "type": "", "body": "", "outcome": "", "received_at": 0},
    analytics: {"session_id": 1, "cart_id": 1, "user_id": 1, "started_at": 0, "ended_at": 0, "end_reason": "paid",
                "units": 0, "total": 0, "paid": 0, "currency": "EGP"},
    alarms: {"id": 1, "at": 0, "kind": "", "detail": ""},
    pairings: {"cart_id": 1, "code_hash": b"", "expires_at": 0},
    feedback: {"id": 1, "session_id": 1, "satisfaction": "5", "selected_item_ids": "[]", "created_at": 0},
    fraud_warnings: {"id": 1, "session_id": 1, "type_of_warning": "", "held": False, "created_at": 0},
    session_locations: {"session_id": 1, "aisle_id": 1, "created_at": 0, "updated_at": 0},
    idempotency_keys: {"scope": "s", "key": "k", "fingerprint": b"", "result": "", "created_at": 0},
}  # fmt: skip

OTHER_CART = {"id": 2, "key_hash": b"2"}
OTHER_USER = {"id": 2, "email": "d@e.f", "username": "d"}
ENDED = {"is_active": False, "ended_at": 1, "end_reason": "ended"}


@pytest.fixture
def connection(template: Path, tmp_path: Path) -> Iterator[Connection]:
    """To a database with one row in each table, another cart and another shopper."""
    path = tmp_path / "store.db"
    shutil.copy(template, path)
    engine = engine_for(path)
    with engine.connect() as connection:
        for table, row in ROWS.items():
            connection.execute(insert(table).values(row))
        put(connection, carts, **OTHER_CART)
        put(connection, users, **OTHER_USER)
        yield connection
    engine.dispose()


def put(connection: Connection, table: Table, **changes: Any) -> None:
    connection.execute(insert(table).values({**ROWS[table], **changes}))


REFUSED = [
    pytest.param(table, changes, id=f"{table.name}: {what}")
    for table, what, changes in [
        (carts, "in use without a session", {"id": 3, "key_hash": b"3", "status": "in_use"}),
        (carts, "a session without being in use", {"id": 3, "key_hash": b"3", "session_id": 1}),
        (carts, "an unknown status", {"id": 3, "key_hash": b"3", "status": "broken"}),
        (carts, "another cart's key", {"id": 3}),
        (carts, "another cart's number", {"key_hash": b"3"}),
        (commands, "an unknown command", {"seq": 2, "type": "open_gate"}),
        (commands, "an unknown state", {"seq": 2, "state": "lost"}),
        (commands, "generate_qr with a session", {"seq": 2, "type": "generate_qr"}),
        (commands, "a session's command without one", {"seq": 2, "type": "end_session", "session_id": None}),
        (commands, "the same seq twice", {}),
        (commands, "an unknown cart", {"cart_id": 404}),
        (commands, "an unknown session", {"seq": 2, "session_id": 404}),
        (users, "another's e-mail", {"id": 3, "username": "g"}),
        (users, "another's user name", {"id": 3, "email": "g@h.i"}),
        (sessions, "two active sessions of a cart", {"id": 2, "user_id": 2}),
        (sessions, "F36 two active sessions of a shopper", {"id": 2, "cart_id": 2}),
        (sessions, "active and ended", {"id": 2, "cart_id": 2, "user_id": 2, "ended_at": 1}),
        (sessions, "neither active nor ended", {"id": 2, "cart_id": 2, "user_id": 2, "is_active": False}),
        (sessions, "an unknown reason", {**ENDED, "id": 2, "end_reason": "bored"}),
        (sessions, "an unknown cart", {**ENDED, "id": 2, "cart_id": 404}),
        (sessions, "an unknown shopper", {**ENDED, "id": 2, "user_id": 404}),
        (products, "two that agree without leading zeros", {"id": 2, "barcode": "01"}),
        (products, "a negative price", {"id": 2, "barcode_number": "2", "unit_price": -1}),
        (basket_lines, "two lines of one product", {}),
        (basket_lines, "an unknown product", {"product_id": 404}),
        (basket_lines, "an unknown session", {"session_id": 404}),
        (payments, "two open payments of a session", {"id": 2, "token": "t2", "provider_ref": "r2"}),
        (payments, "one creating beside an open one",
         {"id": 2, "token": "t2", "provider_ref": None, "state": "creating"}),
        (payments, "less than nothing", {"id": 2, "token": "t2", "provider_ref": "r2", "state": "paid", "amount": -1}),
        (payments, "an unknown state", {"id": 2, "token": "t2", "provider_ref": "r2", "state": "maybe"}),
        (payments, "another's token", {"id": 2, "provider_ref": "r2", "state": "paid"}),
        (payments, "another's reference", {"id": 2, "token": "t2", "state": "paid"}),
        (payments, "an unknown session", {"id": 2, "token": "t2", "provider_ref": "r2", "session_id": 404}),
        (provider_events, "the same event twice", {}),
        (analytics, "the same session twice", {}),
        (analytics, "an unknown session", {"session_id": 404}),
        (idempotency_keys, "the same key twice", {}),
        (steady_clock, "a second row", {"id": 2}),
        (signing_keys, "the same key id twice", {}),
        (nodes, "the same node twice", {}),
        (connections, "two in one place", {"epoch": 21}),
        (connections, "an unknown cart's", {"cart_id": 404}),
        (refusals, "one reason twice", {}),
        (refusals, "an unknown cart's", {"cart_id": 404}),
        (pairings, "a second code", {"code_hash": b"2"}),
        (pairings, "an unknown cart's", {"cart_id": 404, "code_hash": b"2"}),
        (feedback, "twice of a session", {"id": 2}),
        (shop_currency, "a second currency", {"id": 2}),
        (shop_address, "a second address", {"id": 2}),
    ]
]  # fmt: skip


@pytest.mark.parametrize(("table", "changes"), REFUSED)
def test_the_database_refuses(connection: Connection, table: Table, changes: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError):
        put(connection, table, **changes)


def test_an_empty_line_is_refused(connection: Connection) -> None:
    with pytest.raises(IntegrityError):
        connection.execute(basket_lines.update().values(quantity=0))


ALLOWED = [
    pytest.param(table, changes, id=f"{table.name}: {what}")
    for table, what, changes in [
        (carts, "in use with a session", {"id": 3, "key_hash": b"3", "status": "in_use", "session_id": 1}),
        (sessions, "an ended one beside an active one", {**ENDED, "id": 2}),
        (sessions, "another shopper's on another cart", {"id": 2, "cart_id": 2, "user_id": 2}),
        (payments, "a closed one beside an open one",
         {"id": 2, "token": "t2", "provider_ref": "r2", "state": "cancelled"}),
        (payments, "one that failed before it had a reference",
         {"id": 2, "token": "t2", "provider_ref": None, "state": "failed"}),
        (users, "a guest", {"id": 3, "email": None, "username": None}),
        (users, "another guest", {"id": 4, "email": None, "username": None}),
    ]
]  # fmt: skip


@pytest.mark.parametrize(("table", "changes"), ALLOWED)
def test_the_database_allows(connection: Connection, table: Table, changes: dict[str, Any]) -> None:
    put(connection, table, **changes)


def test_an_id_is_never_given_twice(connection: Connection) -> None:
    """Or an old token would open a new account, and an old screen a new session."""
    for table in (users, sessions, payments, products, alarms):
        row = {name: value for name, value in ROWS[table].items() if name != "id"}
        row |= {"email": "x@y.z", "username": "x"} if table is users else {}
        row |= ENDED if table is sessions else {}
        row |= {"token": "t9", "provider_ref": "r9", "state": "paid"} if table is payments else {}
        row |= {"barcode_number": "9"} if table is products else {}
        first = connection.execute(insert(table).values(row).returning(table.c.id)).scalar_one()
        connection.execute(table.delete().where(table.c.id == first))
        assert connection.execute(insert(table).values(row).returning(table.c.id)).scalar_one() > first


def test_every_table_is_looked_at_here() -> None:
    assert set(ROWS) == set(metadata.sorted_tables)
