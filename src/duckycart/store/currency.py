"""A database has one currency, which is written down once, and whoever reads a price goes by it.

The currency is fixed in the transaction that adds the first product or session, or when a server starts whose settings
name one.
"""

from typing import Final

from sqlalchemy import Connection, insert, literal, select, text, update

from duckycart.currency import DEFAULT, WRONG_CURRENCY, Currency, currency_of
from duckycart.store.prepared import prepared
from duckycart.store.refusals import CURRENCY_IN_USE, TOO_MANY_DECIMALS
from duckycart.store.tables import products, sessions, shop_currency
from duckycart.store.transaction import Store, Transaction

_READ: Final = prepared(select(shop_currency.c.code, shop_currency.c.digits).where(shop_currency.c.id == 1))
# Two may be the first at once: the second waits here for the first, and then reads what that one wrote.
_FIX: Final = text(
    "INSERT INTO shop_currency (id, code, digits) VALUES (1, :code, :digits) ON CONFLICT (id) DO NOTHING"
)


def read_currency(connection: Connection) -> Currency | None:
    """Return the database's currency; None while there are neither products nor sessions and no server's settings named
    one."""
    row = _READ.one_or_none(connection)
    return None if row is None else Currency(row.code, row.digits)


def fix_currency(tx: Transaction, wanted: Currency | None) -> Currency:
    """Return the database's currency. A database that has none gets `wanted` from now on, or the default.

    Raises WrongCurrency when it has another than `wanted`; None agrees with any.
    """
    present = read_currency(tx.connection)
    if present is None:
        new = wanted or currency_of(DEFAULT)
        tx.connection.execute(_FIX, {"code": new.code, "digits": new.digits})
        present = read_currency(tx.connection)
        assert present is not None
    return agreed(present, wanted)


def agreed(present: Currency, wanted: Currency | None) -> Currency:
    """Return the database's currency. Raises WrongCurrency when it is another than `wanted`."""
    if wanted not in (None, present):
        raise WRONG_CURRENCY(wanted=wanted.code, present=present.code, digits=present.digits)
    return present


def settle_currency(tx: Transaction, wanted: Currency | None) -> Currency | None:
    """Return the currency for a server that starts, and fix it if the server's settings name one or the database has
    prices.

    Returns None for a server without such a setting, on a database without products and sessions: the first one fixes
    the currency. Raises WrongCurrency.
    """
    if wanted is None and read_currency(tx.connection) is None and not _has_prices(tx.connection):
        return None
    return fix_currency(tx, wanted)


class KnownCurrency:
    """The database's currency as a running server knows it. Once it is fixed, it does not change under a server."""

    def __init__(self, store: Store, present: Currency | None) -> None:
        self._store = store
        self._present = present  # None until there is a product or a session, so while there is no amount to show

    async def learn(self) -> None:
        """Look whether the currency was fixed meanwhile: by a session, by an import from the shell, by another node."""
        if self._present is None:
            self._present = await self._store.read(read_currency)

    @property
    def now(self) -> Currency:
        return self._present or currency_of(DEFAULT)


def _has_prices(connection: Connection) -> bool:
    return any(connection.execute(select(literal(1)).select_from(t).limit(1)).first() for t in (products, sessions))


def change_currency(tx: Transaction, new: Currency) -> Currency | None:
    """Change the currency of a database in which nobody has shopped yet; 12.50 stays 12.50. Returns the one before.

    Raises Conflict when there was a session, or when a price has more decimals than the new currency.
    """
    before = read_currency(tx.connection)
    if before == new:
        return before
    if tx.connection.execute(select(literal(1)).select_from(sessions).limit(1)).first():
        raise CURRENCY_IN_USE()
    if before is not None:
        _rescale(tx, before, new)
        tx.connection.execute(update(shop_currency).values(code=new.code, digits=new.digits))
    else:
        tx.connection.execute(insert(shop_currency).values(id=1, code=new.code, digits=new.digits))
    return before


def _rescale(tx: Transaction, before: Currency, new: Currency) -> None:
    price = products.c.unit_price
    more = new.digits - before.digits
    if more > 0:
        tx.connection.execute(update(products).values(unit_price=price * 10**more))
    elif more < 0:
        uneven = tx.connection.execute(
            select(products.c.barcode, price).where(price % 10**-more != 0).order_by(products.c.id).limit(1)
        ).one_or_none()
        if uneven is not None:
            raise TOO_MANY_DECIMALS(
                barcode=uneven.barcode,
                price=before.written(uneven.unit_price),
                currency=new.code,
                digits=new.digits,
            )
        tx.connection.execute(update(products).values(unit_price=price // 10**-more))
