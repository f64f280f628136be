"""Products come from a CSV file into the database: read and judged first, then written in one short transaction.

Each line of the file is one record. CSV would allow a line break inside quotes, but no text of a product may hold one;
so a quote that is never closed spoils its own line, not the rest of the file, and every fault has its line's number.

A server that runs must not wait long for the writing, so the rows first go into a temporary table, which is the
connection's own and locks nobody; what happens under the lock is one INSERT … SELECT.
"""

import csv
import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from itertools import count
from typing import BinaryIO, Final, NamedTuple, cast

from sqlalchemy import Connection, Engine, Row, String, event, select, text

from duckycart.admin.shell import BadLines, quoted
from duckycart.clock import SystemClock
from duckycart.currency import Currency
from duckycart.errors import Refusal
from duckycart.lifecycle.basket import MAX_WEIGHT
from duckycart.store.currency import fix_currency
from duckycart.store.database import transact
from duckycart.store.tables import products
from duckycart.store.transaction import Transaction

BAD_LINES: Final = Refusal(
    BadLines, "bad_lines", "Nothing was imported, because of {lines}; correct the file and import it again."
)
COLUMNS: Final = (
    "barcode",
    "description",
    "description_ar",
    "product_size",
    "unit_price",
    "weight_grams",
    "image_url",
)
MAX_LINES: Final = 200_000  # bounds the memory, and how long the server waits for the writing
MAX_LINE: Final = 16_384  # bytes; every field at its longest, in four-byte characters, fits
SHOWN: Final = 50  # bad lines that are shown; the others are counted
PROGRESS_LINES: Final = 20_000

_TEXTS: Final = ("barcode", "description", "description_ar", "product_size", "image_url")
_LENGTHS: Final = {name: cast(int, cast(String, products.c[name].type).length) for name in _TEXTS}
_PRICE: Final = re.compile(r"[0-9]{1,9}(?:\.([0-9]+))?")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class Product(NamedTuple):
    """A line of the file that may be a product, as the temporary table takes it."""

    barcode_number: str  # without leading zeros
    line: int
    barcode: str  # as printed
    description: str
    description_ar: str
    product_size: str
    unit_price: int  # minor units
    weight_grams: int | None
    image_url: str | None


class Count(NamedTuple):
    added: int
    updated: int
    unchanged: int


class _Faults:
    """Collects what is wrong so far, by line; beyond SHOWN faults are only counted."""

    def __init__(self) -> None:
        self._shown: list[tuple[int, str]] = []
        self._count = 0

    def add(self, line: int, wrong: str) -> None:
        self._count += 1
        if len(self._shown) < SHOWN:
            self._shown.append((line, wrong))

    def raise_if_any(self) -> None:
        if self._count:
            lines = "1 bad line" if self._count == 1 else f"{self._count} bad lines"
            refused = BAD_LINES(lines=lines)
            refused.lines, refused.more = self._shown, self._count - len(self._shown)
            raise refused


def read_products(file: BinaryIO, currency_digits: int, progress: Callable[[int], None]) -> list[Product]:
    """Return all products of the file. Raises BadLines, which names every line that is wrong.

    `currency_digits` is how many decimals a price may have. `progress` is told how many lines were read, now and then.
    """
    faults = _Faults()
    found: list[Product] = []
    line_of: dict[str, int] = {}  # by barcode without leading zeros
    lines = _lines(file, faults)
    number, line = next(lines, (1, ""))
    faults.raise_if_any()  # a first line that is no text: what follows is none either
    header = _header(number, line, faults)
    faults.raise_if_any()
    for number, line in lines:
        if number % PROGRESS_LINES == 0:
            progress(number)
        if not line.strip():
            continue
        product, wrong = _product(number, line, header, currency_digits)
        if product is None:
            faults.add(number, wrong)
        elif (earlier := line_of.setdefault(product.barcode_number, number)) != number:
            faults.add(number, f"barcode {product.barcode} is, leading zeros aside, that of line {earlier}")
        else:
            found.append(product)
    faults.raise_if_any()
    return found


def _lines(file: BinaryIO, faults: _Faults) -> Iterator[tuple[int, str]]:
    """Yield (number, text without line end) of every line that is text. Reads no further where that makes no sense."""
    for number in count(1):
        raw = file.readline(MAX_LINE + 1)
        if not raw:
            return
        if len(raw) > MAX_LINE:
            faults.add(number, f"longer than {MAX_LINE} bytes; the rest of the file was not read")
            return
        if number > MAX_LINES + 1:
            faults.add(number, f"more than {MAX_LINES} products; split the file")
            return
        if number == 1:
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        try:
            line = raw.decode().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            faults.add(number, "not UTF-8; save the file as CSV in UTF-8")
            continue
        if (control := _CONTROL.search(line)) is not None:
            faults.add(number, f"holds the control character {control[0]!r}")
            continue
        yield number, line


def _fields(line: str) -> list[str]:
    """Return the fields of a line. Raises csv.Error."""
    return [field.strip() for field in next(csv.reader((line,), strict=True), [])]


def _header(number: int, line: str, faults: _Faults) -> list[str]:
    try:
        names = [name.lower() for name in _fields(line)]
    except csv.Error as error:
        faults.add(number, f"not CSV: {error}")
        return []
    wrong = []
    if missing := [name for name in COLUMNS if name not in names]:
        wrong.append(f"the header lacks {', '.join(missing)}")
    if extra := [quoted(name) for name in names if name not in COLUMNS]:
        wrong.append(f"the header has columns that are not known: {', '.join(extra[:10])}")
    if twice := [name for name in COLUMNS if names.count(name) > 1]:
        wrong.append(f"the header names twice: {', '.join(twice)}")
    if wrong and ";" in line:
        wrong.append("columns are separated by commas")
    if wrong:
        faults.add(number, "; ".join(wrong))
    return names


def _product(number: int, line: str, header: Sequence[str], currency_digits: int) -> tuple[Product | None, str]:
    """Return the product of a line, or None and what is wrong with it."""
    try:
        fields = _fields(line)
    except csv.Error as error:
        return None, f"not CSV: {error} (a text in quotes ends on its line; a quote inside it is written twice)"
    if len(fields) != len(header):
        return None, f"{len(fields)} fields where the header has {len(header)} (a text with a comma needs quotes)"
    field = dict(zip(header, fields, strict=True))
    wrong = [
        f"{name} has {len(field[name])} characters, at most {longest} are allowed"
        for name, longest in _LENGTHS.items()
        if len(field[name]) > longest
    ]
    barcode_number = field["barcode"].lstrip("0")
    if not (field["barcode"].isascii() and field["barcode"].isdigit()):
        wrong.append(f"barcode {quoted(field['barcode'])} is not digits only")
    elif not barcode_number:
        wrong.append("barcode is only zeros, which carts send for none")
    if not field["description"]:
        wrong.append("description is empty")
    if field["image_url"] and not field["image_url"].startswith(("https://", "http://")):
        wrong.append(f"image_url {quoted(field['image_url'])} does not begin with https:// or http://")
    unit_price = _price(field["unit_price"], currency_digits, wrong)
    weight_grams = _weight(field["weight_grams"], wrong)
    if wrong:
        return None, "; ".join(wrong)
    product = Product(
        barcode_number,
        number,
        field["barcode"],
        field["description"],
        field["description_ar"],
        field["product_size"],
        unit_price,
        weight_grams,
        field["image_url"] or None,
    )
    return product, ""


def _price(given: str, currency_digits: int, wrong: list[str]) -> int:
    """Return the price in minor units. Decimals that are zero count too: `12.500` may be meant as thousands."""
    match = _PRICE.fullmatch(given)
    if match is None:
        wrong.append(f"unit_price {quoted(given)} is no price like 12.50, not negative, without separators")
    elif len(match[1] or "") > currency_digits:
        wrong.append(f"unit_price {quoted(given)} has more than {currency_digits} decimals")
    else:
        return int(Decimal(given).scaleb(currency_digits))
    return 0


def _weight(given: str, wrong: list[str]) -> int | None:
    if not given:
        return None
    if not (given.isascii() and given.isdigit() and len(given) <= 9 and int(given) <= MAX_WEIGHT):
        wrong.append(f"weight_grams {quoted(given)} is no whole number from 0 to {MAX_WEIGHT}")
        return None
    return int(given)


_STAGE: Final = """
    CREATE TEMPORARY TABLE incoming (
        barcode_number TEXT PRIMARY KEY, line INTEGER, barcode TEXT, description TEXT, description_ar TEXT,
        product_size TEXT, unit_price BIGINT, weight_grams INTEGER, image_url TEXT
    )
"""
_STAGE_ROW: Final = """
    INSERT INTO incoming VALUES (
        :barcode_number, :line, :barcode, :description, :description_ar, :product_size, :unit_price, :weight_grams,
        :image_url
    )
"""
_CLASHES: Final = text("""
    SELECT incoming.line, incoming.barcode, products.barcode
    FROM incoming JOIN products USING (barcode_number)
    WHERE incoming.barcode <> products.barcode
    ORDER BY incoming.line
""")
_PRESENT: Final = text("SELECT count(*) FROM incoming JOIN products USING (barcode_number)")
_BRING_IN: Final = text("""
    INSERT INTO products (
        barcode, barcode_number, description, description_ar, product_size, unit_price, weight_grams, image_url
    )
    SELECT barcode, barcode_number, description, description_ar, product_size, unit_price, weight_grams, image_url
    FROM incoming
    WHERE true  -- else SQLite takes ON CONFLICT for the condition of a join
    ON CONFLICT (barcode_number) DO UPDATE SET
        description = excluded.description,
        description_ar = excluded.description_ar,
        product_size = excluded.product_size,
        unit_price = excluded.unit_price,
        weight_grams = excluded.weight_grams,
        image_url = excluded.image_url
    WHERE (
        products.description, products.description_ar, products.product_size,
        products.unit_price, products.weight_grams, products.image_url
    ) IS DISTINCT FROM (
        excluded.description, excluded.description_ar, excluded.product_size,
        excluded.unit_price, excluded.weight_grams, excluded.image_url
    )
""")


def sold(connection: Connection) -> Sequence[Row[tuple[str, str, str, str, int, int | None, str | None]]]:
    """Return all products by their names: COLUMNS, with the price in minor units."""
    listed = select(*(products.c[name] for name in COLUMNS)).order_by(products.c.description, products.c.barcode_number)
    return connection.execute(listed).all()


def bring_in(engine: Engine, incoming: Sequence[Product], currency: Currency) -> Count:
    """Write all products in one transaction: new ones are added, those with a barcode that is there are updated.

    Raises BadLines where a product of the database has the same barcode but for leading zeros, WrongCurrency where the
    database has another currency by now than the prices were read in; nothing is written then.
    """

    if engine.dialect.name == "postgresql":
        return transact(engine, SystemClock(), lambda tx: _stage_and_write(tx, incoming, currency))

    @event.listens_for(engine, "connect")
    def _stage(connection: sqlite3.Connection, _: object) -> None:
        # The transaction's own connection, before it begins: temporary tables are seen by no other.
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute(_STAGE)
        connection.execute("BEGIN")
        connection.executemany(_STAGE_ROW, (row._asdict() for row in incoming))
        connection.execute("COMMIT")

    return transact(engine, SystemClock(), lambda tx: _write(tx, len(incoming), currency))


def _stage_and_write(tx: Transaction, incoming: Sequence[Product], currency: Currency) -> Count:
    # All in one transaction: on PostgreSQL it holds up nobody before it writes.
    tx.connection.execute(text(_STAGE.rstrip() + " ON COMMIT DROP"))
    if incoming:
        tx.connection.execute(text(_STAGE_ROW), [row._asdict() for row in incoming])
    return _write(tx, len(incoming), currency)


def _write(tx: Transaction, incoming: int, currency: Currency) -> Count:
    fix_currency(tx, currency)
    faults = _Faults()
    for line, barcode, present in tx.connection.execute(_CLASHES):
        faults.add(line, f"barcode {barcode} is, leading zeros aside, that of the product {present}")
    faults.raise_if_any()
    present = tx.connection.execute(_PRESENT).scalar_one()
    written = tx.connection.execute(_BRING_IN).rowcount
    added = incoming - present
    return Count(added, written - added, incoming - written)
