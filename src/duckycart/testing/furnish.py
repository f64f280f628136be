"""A shop gets its rows here: carts, products and shoppers, for a server of ours on either database. The one part of the
kit that needs `duckycart[server]`.

Each of the small functions works in a transaction, so that a test can put together what it wants; `furnish` does the
usual, before a server is started or beside one that runs.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import insert

from duckycart.clock import SystemClock
from duckycart.keys import hash_of
from duckycart.store.address import locate
from duckycart.store.database import engine_for, transact
from duckycart.store.keys import read_or_make_signing_keys
from duckycart.store.tables import carts, products, users
from duckycart.store.transaction import Transaction
from duckycart.tokens import AccessToken, Tokens

MILK: Final = 6221000000012
BREAD: Final = 6221000000029
TEA: Final = 6221000000036


def key_of(cart_id: int) -> str:
    """Return the key of a cart that nobody gave another one."""
    return f"key-of-cart-{cart_id}-0123456789abcdef0123"


def screen_key_of(cart_id: int) -> str:
    """Return the key of that cart's screen."""
    return f"key-of-screen-{cart_id}-0123456789abcdef012"


def add_carts(tx: Transaction, cart_ids: Iterable[int], **columns: Any) -> dict[int, str]:
    """Add carts with the keys of `key_of` and `screen_key_of`; `columns` are other values. Returns the keys."""
    keys = {cart_id: key_of(cart_id) for cart_id in cart_ids}
    tx.connection.execute(
        insert(carts),
        [
            {
                "id": cart_id,
                "key_hash": hash_of(key),
                "screen_key_hash": hash_of(screen_key_of(cart_id)),
                "created_at": tx.now,
                **columns,
            }
            for cart_id, key in keys.items()
        ],
    )
    return keys


def add_product(
    tx: Transaction, barcode: int = MILK, description: str = "Milk", unit_price: int = 1250, weight: int | None = None
) -> None:
    """Add a product; the price is in the currency's smallest unit, the weight in grams, None where nobody knows it."""
    tx.connection.execute(
        insert(products).values(
            barcode=str(barcode),
            barcode_number=str(barcode),
            description=description,
            description_ar="",
            product_size="",
            unit_price=unit_price,
            weight_grams=weight,
        )
    )


def add_user(tx: Transaction, email: str, **columns: Any) -> int:
    """Add an account that is active and signs in with no password; `columns` are other values. Returns its id."""
    values = {
        "email": email,
        "full_name": email,
        "is_active": True,
        "is_operator": False,
        "created_at": tx.now,
        **columns,
    }
    return int(tx.connection.execute(insert(users).values(values).returning(users.c.id)).scalar_one())


def tokens_of(tx: Transaction) -> Tokens:
    """Return the tokens that this database's servers sign and believe; its keys are made if there are none yet."""
    steady = tx.steady
    return Tokens(read_or_make_signing_keys(tx), SystemClock(), lambda: steady)


@dataclass(frozen=True, slots=True)
class Furnished:
    """A shop with as many shoppers as carts."""

    keys: dict[int, str]  # the carts', by their ids
    shoppers: dict[int, str]  # the token of a shopper for each cart, by the cart's id

    def headers(self, cart_id: int) -> dict[str, str]:
        """Return what the shopper of that cart sends with every call."""
        return {"Authorization": f"Bearer {self.shoppers[cart_id]}"}


def furnish(database: str, size: int = 1) -> Furnished:
    """Put carts 1 to `size`, milk and a shopper for each cart into a database that has its tables and nothing in them.

    `database` is what `duckycart serve --database` takes.
    """

    def add(tx: Transaction) -> Furnished:
        keys = add_carts(tx, range(1, size + 1))
        add_product(tx)
        ids = {cart_id: add_user(tx, f"{cart_id}@example.com") for cart_id in keys}
        tokens = tokens_of(tx)
        signed = {cart_id: tokens.access(AccessToken(user_id, is_operator=False)) for cart_id, user_id in ids.items()}
        return Furnished(keys, signed)

    engine = engine_for(locate(database))
    try:
        return transact(engine, SystemClock(), add)
    finally:
        engine.dispose()
