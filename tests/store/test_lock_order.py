"""Whoever locks several rows on PostgreSQL takes them in one order: else they wait in a circle, for a second each."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, Select, insert, make_url, select
from sqlalchemy.exc import OperationalError

from duckycart.hardware.ownership import Claim, claim_many
from duckycart.hardware.receipts import OfBoot, Times, _write_rows
from duckycart.store.postgres import engine_for, transact
from duckycart.store.tables import carts, commands
from duckycart.store.transaction import Transaction
from duckycart.testing.clock import ManualClock
from duckycart.testing.waiting import until
from tests.store.world import held, somebody_waits

CLAIMS = [Claim(2, None, None), Claim(1, None, None)]
REBOOTS = [Claim(2, None, "boot"), Claim(1, None, "boot")]
PENDING = {OfBoot(1, 1, 0): Times(5, 6), OfBoot(2, 1, 0): Times(5, None)}


@pytest.fixture
def engine(postgres_database: str) -> Iterator[Engine]:
    engine = engine_for(make_url(postgres_database))
    yield engine
    engine.dispose()


def free(connection: Connection, rows: Select[Any]) -> bool:
    try:
        with connection.begin():
            return bool(connection.execute(rows.with_for_update(nowait=True)).all())
    except OperationalError:
        return False


def command_of(cart_id: int) -> Select[Any]:
    return select(commands.c.seq).where(commands.c.cart_id == cart_id)


def furnish(tx: Transaction, qr_valid: bool) -> None:
    """Carts 2 and 1, each with one command, as they lie in the table."""
    expires_at = tx.now + 1000 if qr_valid else 0
    for cart_id in (2, 1):
        cart = {"id": cart_id, "key_hash": bytes([cart_id]), "created_at": 0, "last_seq": 1}
        tx.connection.execute(insert(carts).values({**cart, "qr_expires_at": expires_at}))
        command = {"cart_id": cart_id, "seq": 1, "type": "generate_qr", "boot_generation": 0, "queued_at": 0}
        tx.connection.execute(insert(commands).values({**command, "attempted": False}))


@pytest.mark.parametrize(
    ("work", "qr_valid"),
    [
        pytest.param(
            lambda tx: _write_rows(tx, {OfBoot(1, 1, 0): Times(5, 6), OfBoot(2, 1, 0): Times(5, None)}),
            True,
            id="receipts",
        ),
        pytest.param(lambda tx: claim_many(tx, CLAIMS, "node"), True, id="claims that hand out"),
        pytest.param(lambda tx: claim_many(tx, CLAIMS, "node"), False, id="claims that drop"),
        pytest.param(lambda tx: claim_many(tx, REBOOTS, "node"), True, id="claims of carts that rebooted"),
    ],
)
async def test_who_waits_for_one_cart_s_command_holds_none_of_a_later_cart(
    engine: Engine, work: Callable[[Transaction], Any], qr_valid: bool
) -> None:
    clock = ManualClock()
    transact(engine, clock, lambda tx: furnish(tx, qr_valid))
    with engine.connect() as other:
        with held(engine, command_of(1)):
            working = asyncio.create_task(asyncio.to_thread(transact, engine, clock, work))
            await until(somebody_waits(engine))
            assert free(other, command_of(2))
        await working
