"""A cart reads products, adds them to its basket and takes them out while its session is shopping."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, and_, bindparam, delete, func, insert, select, update

from duckycart.effects import Happened, News, NewsKind
from duckycart.lifecycle.access import Who, find_session
from duckycart.lifecycle.carts import lock_with_phase
from duckycart.lifecycle.rules import Rules
from duckycart.lifecycle.sessions import change_session
from duckycart.lifecycle.transitions import Event, Phase, decide
from duckycart.refusals import BASKET_EMPTY, BASKET_FULL, LINE_FULL, NOT_IN_BASKET, UNKNOWN_PRODUCT
from duckycart.store.prepared import Row, prepared
from duckycart.store.tables import basket_lines, products, sessions
from duckycart.store.transaction import Transaction

MAX_WEIGHT: Final = 1_000_000  # grams on one line; more is a broken scale


@dataclass(frozen=True, slots=True)
class Product:
    id: int
    barcode_number: str  # digits without leading zeros, which carts lose
    description: str
    description_ar: str
    product_size: str
    unit_price: int  # minor units
    weight_grams: int | None
    image_url: str | None


@dataclass(frozen=True, slots=True)
class Line:
    """One product in a basket. Its price is the one it had when the line was added."""

    session_id: int
    product: Product
    quantity: int
    unit_price: int
    saved_weight: int  # grams, of all its units


_PRODUCT_COLUMNS: Final = (
    products.c.id,
    products.c.barcode_number,
    products.c.description,
    products.c.description_ar,
    products.c.product_size,
    products.c.unit_price,
    products.c.weight_grams,
    products.c.image_url,
)
_PRODUCT: Final = prepared(select(*_PRODUCT_COLUMNS).where(products.c.barcode_number == bindparam("barcode")))
_LINES: Final = prepared(
    select(
        *_PRODUCT_COLUMNS,
        basket_lines.c.quantity,
        basket_lines.c.unit_price.label("line_price"),
        basket_lines.c.saved_weight,
    )
    .join(basket_lines, basket_lines.c.product_id == products.c.id)
    .where(basket_lines.c.session_id == bindparam("session"))
    .order_by(basket_lines.c.added_at, basket_lines.c.product_id)
)
_THIS_LINE: Final = and_(
    basket_lines.c.session_id == bindparam("in_session"), basket_lines.c.product_id == bindparam("of_product")
)
_LINE: Final = prepared(
    select(basket_lines.c.quantity, basket_lines.c.unit_price, basket_lines.c.saved_weight).where(_THIS_LINE)
)
_COUNT: Final = prepared(
    select(func.count()).select_from(basket_lines).where(basket_lines.c.session_id == bindparam("session"))
)
_INSERT_LINE: Final = prepared(insert(basket_lines), *basket_lines.columns.keys())
_DELETE_LINE: Final = prepared(delete(basket_lines).where(_THIS_LINE))
_CHANGE_LINE: Final = prepared(
    update(basket_lines)
    .where(_THIS_LINE)
    .values(quantity=bindparam("new_quantity"), saved_weight=bindparam("new_weight"))
)
_VERSION: Final = prepared(select(sessions.c.version).where(sessions.c.id == bindparam("session")))


def _product_of(row: Row) -> Product:
    return Product(
        id=row.id,
        barcode_number=row.barcode_number,
        description=row.description,
        description_ar=row.description_ar,
        product_size=row.product_size,
        unit_price=row.unit_price,
        weight_grams=row.weight_grams,
        image_url=row.image_url,
    )


def find_product(connection: Connection, barcode: int) -> Product:
    """Return the product with this barcode, leading zeros aside. Raises NotFound."""
    row = _PRODUCT.one_or_none(connection, barcode=str(barcode))
    if row is None:
        raise UNKNOWN_PRODUCT(barcode=barcode)
    return _product_of(row)


@dataclass(frozen=True, slots=True)
class Scanned:
    product: Product
    news: News  # for the session's listeners; nothing was changed, so no transaction carries it


def read_item(connection: Connection, who: Who, session_id: int, barcode: int) -> Scanned:
    """Return a product that the cart's scanner saw, with the news of it for the session's listeners.

    Raises NotFound for an unknown product or another's session, Conflict when the session is over.
    """
    session = find_session(connection, who, session_id)
    if not session.is_active:
        decide(Event.CHANGE_BASKET, Phase.AVAILABLE, session_id=session_id)
    version = _VERSION.scalar(connection, session=session_id)
    product = find_product(connection, barcode)
    return Scanned(product, News(NewsKind.ITEM_READ, session.cart_id, session_id, version, barcode))


def read_basket(connection: Connection, who: Who, session_id: int) -> list[Line]:
    """Return all lines, the oldest first. Raises NotFound for another's session."""
    find_session(connection, who, session_id)
    return [_line_of(session_id, row) for row in _LINES.all(connection, session=session_id)]


def _line_of(session_id: int, row: Row) -> Line:
    return Line(session_id, _product_of(row), row.quantity, row.line_price, row.saved_weight)


def add_item(tx: Transaction, who: Who, session_id: int, barcode: int, weight: int | None, rules: Rules) -> Line:
    """Add one unit of the product; returns its line. `weight` is this unit's, in grams.

    Raises NotFound for an unknown product or another's session; Conflict once a payment exists or the session is over;
    BadRequest when the basket is full.
    """
    _open_basket(tx, who, session_id, barcode)
    product = find_product(tx.connection, barcode)
    key = {"in_session": session_id, "of_product": product.id}
    grams = weight if weight is not None else product.weight_grams or 0
    line = _LINE.one_or_none(tx.connection, **key)
    quantity, price, saved = (1, product.unit_price, grams) if line is None else (line[0] + 1, line[1], line[2] + grams)
    if quantity > rules.line_quantity or saved > MAX_WEIGHT:
        raise LINE_FULL(units=rules.line_quantity, kilograms=MAX_WEIGHT // 1000)
    if line is None:
        if _COUNT.scalar(tx.connection, session=session_id) >= rules.basket_lines:
            raise BASKET_FULL(lines=rules.basket_lines)
        _INSERT_LINE.run(
            tx.connection,
            session_id=session_id,
            product_id=product.id,
            quantity=1,
            unit_price=price,
            saved_weight=saved,
            added_at=tx.steady,
        )
    else:
        _CHANGE_LINE.run(tx.connection, **key, new_quantity=quantity, new_weight=saved)
    return Line(session_id, product, quantity, price, saved)


def remove_item(tx: Transaction, who: Who, session_id: int, barcode: int) -> Line | None:
    """Take one unit out; returns what is left of the line, None when that was the last unit (F18).

    Raises NotFound for a product that is unknown or not in the basket, or another's session; Conflict once a payment
    exists or the session is over.
    """
    _open_basket(tx, who, session_id, barcode)
    product = find_product(tx.connection, barcode)
    key = {"in_session": session_id, "of_product": product.id}
    line = _LINE.one_or_none(tx.connection, **key)
    if line is None:
        raise NOT_IN_BASKET(barcode=barcode)
    quantity, price, saved = line
    if quantity == 1:
        _DELETE_LINE.run(tx.connection, **key)
        return None
    saved -= saved // quantity
    _CHANGE_LINE.run(tx.connection, **key, new_quantity=quantity - 1, new_weight=saved)
    return Line(session_id, product, quantity - 1, price, saved)


def _open_basket(tx: Transaction, who: Who, session_id: int, barcode: int) -> None:
    """Lock the cart of a session whose basket may change, and note the change with its news. Raises NotFound,
    Conflict."""
    session = find_session(tx.connection, who, session_id)
    locked = lock_with_phase(tx, session.cart_id)
    phase = locked.phase if locked.cart.session_id == session_id else Phase.AVAILABLE
    decide(Event.CHANGE_BASKET, phase, session_id=session_id)
    version = change_session(tx, session_id)
    tx.effects.append(Happened(Event.CHANGE_BASKET, session.cart_id, session_id))
    tx.effects.append(News(NewsKind.CART_UPDATED, session.cart_id, session_id, version, barcode))


def require_items(units: int, session_id: int) -> None:
    """Raise Conflict for an empty basket, which nobody can pay."""
    if units == 0:
        raise BASKET_EMPTY(session_id=session_id)
