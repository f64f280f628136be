"""What is asked often finds its rows by an index, however long the history is."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from duckycart.hardware import catchup, ownership
from duckycart.hardware.ending import Gone
from duckycart.hardware.ownership import Claim
from duckycart.hardware.receipts import OfBoot, Times, _write_rows
from duckycart.lifecycle import basket, news, payments, qr, reports, screens, sessions, webhooks
from duckycart.lifecycle.access import ByCart, ByScreen, ByShopper, admit_screen, guest_may
from duckycart.lifecycle.idempotency import forget_old_keys
from duckycart.lifecycle.rules import Rules
from duckycart.providers.protocol import OpenedPayment, Outcome, ProviderEvent
from duckycart.store.sqlite import driver_of, engine_for
from duckycart.store.tables import carts, products, users
from duckycart.store.transaction import Transaction

RULES = Rules()
PAID = ProviderEvent("e", "t", Outcome.SUCCEEDED, "r", 100, "EGP")


def shop(tx: Transaction) -> None:
    """A whole session: everything that a command, a claim, a basket and a payment ask."""
    ownership.claim_many(tx, [Claim(1, b"k", "boot 1"), Claim(2, None, None)], "node")
    qr.get_qr(tx, 1, RULES)
    sessions.create_session(tx, 1, 1, tx.now + 1, 1, RULES)
    ownership.claim_many(tx, [Claim(1, b"k", "boot 2"), Claim(2, None, None)], "node")
    catchup.fill(tx, 1, 2, 0)
    _write_rows(tx, {OfBoot(1, 1, 1): Times(5, None), OfBoot(1, 2, 2): Times(5, 6)})
    basket.read_item(tx.connection, ByCart(1), 1, 1)
    basket.add_item(tx, ByCart(1), 1, 1, None, RULES)
    reports.warn(tx, ByCart(1), 1, "weight increased")
    for aisle in (1, 2):
        reports.locate(tx, ByCart(1), 1, aisle)
    news.present_news(tx.connection, ByScreen(1), 1, tx.now)
    news.start_of_session(tx.connection, 1)
    news.missed_news(tx.connection, {1: 0, 2: 0})
    news.starts_of_sessions(tx.connection, [1, 2])
    admit_screen(tx.connection, 1, tx.now)
    screens.screen_key(tx.connection, 1)
    screens.changed_screens(tx.connection, tx.now)
    payment = payments.create_payment(tx, ByShopper(1), 1, "sandbox", None, RULES)
    payments.open_payment(tx, payment.id, OpenedPayment("r", "u"))
    webhooks.record_event(tx, "sandbox", PAID, "", RULES)
    ownership.release_many(tx, [Gone(1, 2), Gone(2, 1)])


def plans(template: Path, path: Path, *asks: Callable[[Transaction], Any]) -> dict[str, list[str]]:
    """Every statement of these, with how SQLite goes about it."""
    shutil.copy(template, path)
    seen: dict[str, None] = {}
    with engine_for(path).connect() as connection:
        tx = Transaction(connection, 1_000_000, 1_000_000)
        connection.execute(insert(carts).values(id=1, key_hash=b"k", created_at=0))
        connection.execute(insert(users).values(id=1, email="a", full_name="", is_active=True, is_operator=False,
                                                created_at=0))  # fmt: skip
        connection.execute(insert(products).values(barcode="1", barcode_number="1", description="", description_ar="",
                                                   product_size="", unit_price=100))  # fmt: skip
        driver = driver_of(connection)
        driver.set_trace_callback(lambda statement: seen.setdefault(statement))
        for ask in asks:
            ask(tx)
        driver.set_trace_callback(None)
        return {statement: [row[3] for row in driver.execute(f"EXPLAIN QUERY PLAN {statement}")] for statement in seen}


def test_nothing_in_a_session_scans(template: Path, tmp_path: Path) -> None:
    found = plans(template, tmp_path / "plans.db", shop)
    assert len(found) > 25
    assert {statement: plan for statement, plan in found.items() if any("SCAN" in step for step in plan)} == {}


@pytest.mark.parametrize(
    ("ask", "index"),
    [
        pytest.param(lambda tx: ownership.behind(tx.connection, "node"), "ix_commands_outstanding", id="sweep: behind"),
        pytest.param(lambda tx: ownership.behind(tx.connection, "node"), "ix_carts_link_node", id="sweep: own carts"),
        pytest.param(
            lambda tx: ownership.changed_hands(tx.connection, 1), "ix_carts_link_changed_at", id="sweep: changed hands"
        ),
        pytest.param(ownership.release_all, "ix_carts_link_node", id="start: links of the last run"),
        pytest.param(lambda tx: catchup.fill(tx, 1, 0, 0), "ix_commands_outstanding", id="claim: outstanding"),
        pytest.param(
            lambda tx: payments.unsettled_payments(tx.connection, tx.now, RULES, 60, 0, 20),
            "ix_payments_state",
            id="reconciler: unsettled payments",
        ),
        pytest.param(
            lambda tx: webhooks._may_be_early(tx.connection, "sandbox", PAID),
            "ix_payments_state",
            id="webhook: of a payment that is being created, not among all that failed without a name",
        ),
        pytest.param(
            lambda tx: guest_may(tx.connection, 1, tx.steady), "ix_sessions_user_id", id="a guest whose token is old"
        ),
        pytest.param(forget_old_keys, "ix_idempotency_keys_created_at", id="housekeeping: old idempotency keys"),
    ],
)
def test_a_round_asks_by_its_index(
    template: Path, tmp_path: Path, ask: Callable[[Transaction], Any], index: str
) -> None:
    found = plans(template, tmp_path / "plans.db", ask)
    steps = [step for plan in found.values() for step in plan]
    assert any(step.startswith("SEARCH") and index in step for step in steps), steps
    assert not any(step.startswith("SCAN") for step in steps), steps


def test_idle_sessions_are_looked_for_among_the_active_ones_only(template: Path, tmp_path: Path) -> None:
    """At most one row per cart. An index on `touched_at` would be written with every item instead."""
    ask = plans(template, tmp_path / "plans.db", lambda tx: sessions.idle_sessions(tx.connection, tx.now, RULES))
    (steps,) = ask.values()
    assert any("uq_sessions_active" in step for step in steps), steps
