"""A database with carts, products and shoppers, made without a server; and calls to one."""

from hashlib import sha256
from pathlib import Path
from typing import Any

from sqlalchemy import URL, insert

from duckycart.clock import SystemClock
from duckycart.store.database import engine_for, transact
from duckycart.store.engine import Transaction
from duckycart.store.migrate import migrate_sqlite, upgrade_postgres
from duckycart.store.tables import carts, products, users
from duckycart.testing.caller import Caller

BARCODE = 6221000000012


def furnish(place: Path | URL, count: int) -> dict[int, str]:
    """`count` carts and shoppers (with the same numbers) and one product; returns the carts' keys."""
    if isinstance(place, Path):
        migrate_sqlite(place)
    else:
        upgrade_postgres(place)
    keys = {cart_id: f"bench-key-of-cart-{cart_id:09d}-0123456789" for cart_id in range(1, count + 1)}

    def add(tx: Transaction) -> None:
        tx.connection.execute(
            insert(carts),
            [{"id": i, "key_hash": sha256(key.encode()).digest(), "created_at": tx.now} for i, key in keys.items()],
        )
        tx.connection.execute(
            insert(users),
            [
                {"id": i, "email": f"{i}@example.com", "full_name": str(i), "is_active": True, "is_operator": False}
                | {"created_at": tx.now}
                for i in keys
            ],
        )
        product = {"barcode": str(BARCODE), "barcode_number": str(BARCODE), "unit_price": 1250}
        texts = {"description": "Milk", "description_ar": "", "product_size": ""}
        tx.connection.execute(insert(products), [product | texts])

    engine = engine_for(place)
    transact(engine, SystemClock(), add)
    engine.dispose()
    return keys


async def ask(
    caller: Caller, method: str, path: str, headers: dict[str, str], body: dict[str, object] | None = None
) -> Any:
    """What a call that must succeed was answered: the JSON, None for a redirection."""
    answer = await caller(method, path, body, headers)
    if answer.status not in (200, 303):
        raise SystemExit(f"{method} {path}: {answer.status} {answer.body}")
    return answer.body if answer.ok else None
