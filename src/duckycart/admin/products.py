"""`duckycart products` says what the shop sells."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from duckycart import defaults
from duckycart.admin.shell import DatabaseOption, JsonOption, Shell, currency_wanted, table

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from duckycart.currency import Currency

app = typer.Typer(no_args_is_help=True, help="Bring in the shop's products, and list them.")


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", help="The products, in UTF-8.", show_default=False)],
    database: DatabaseOption = defaults.DATABASE,
    as_json: JsonOption = False,
) -> None:
    """Add the products of a CSV file, and update those that are there. All of the file or, if a line is bad, nothing.

    The first line names the columns, in any order: barcode, description,
    description_ar, product_size, unit_price, weight_grams, image_url.
    The last two, description_ar and product_size may be empty in a line.

    unit_price is written like 12.50, without thousands separators, in the
    database's currency. A new database takes DUCKYCART_CURRENCY, or EGP.
    weight_grams is a whole number. barcode is digits; leading zeros do not
    tell two products apart, since carts lose them.

    Products that are missing in the file stay as they are, and so do the
    prices of what is in a basket already.

    Example: duckycart products import products.csv
    """
    with Shell(database, as_json) as shell:
        from duckycart.admin.catalogue import bring_in, read_products
        from duckycart.currency import DEFAULT, currency_of

        wanted = currency_wanted()
        place = shell.place(create=True)
        present = None if isinstance(place, Path) and not place.exists() else _currency_of(shell.open(), wanted)
        currency = present or wanted or currency_of(DEFAULT)
        with open(file, "rb") as lines:
            products = read_products(lines, currency.digits, _progress)
        count = bring_in(shell.open(create=True), products, currency)
        if present is None:
            shell.hint(f"The prices of this database are in {currency.code} from now on.")
        shell.answer(
            {"added": count.added, "updated": count.updated, "unchanged": count.unchanged},
            f"{count.added} added, {count.updated} updated, {count.unchanged} unchanged.",
        )


@app.command("list")
def list_(database: DatabaseOption = defaults.DATABASE, as_json: JsonOption = False) -> None:
    """List what the shop sells, by name. Also while the server runs.

    Example: duckycart products list
    """
    with Shell(database, as_json) as shell:
        from duckycart.admin.catalogue import sold
        from duckycart.currency import DEFAULT, currency_of
        from duckycart.store.currency import read_currency

        with shell.open().connect() as connection:
            currency = read_currency(connection) or currency_of(DEFAULT)  # none before the first product
            found = sold(connection)
        if not found:
            shell.hint("The shop sells nothing yet: duckycart products import FILE.csv.")
        rows = ((row.barcode, row.description, row.product_size, currency.written(row.unit_price)) for row in found)
        shell.answer(
            {"products": [row._asdict() | {"unit_price": currency.major(row.unit_price)} for row in found]},
            table(("BARCODE", "NAME", "SIZE", "PRICE"), *rows),
        )


def _currency_of(engine: "Engine", wanted: "Currency | None") -> "Currency | None":
    """Return the database's currency, None when it has none yet. Raises WrongCurrency."""
    from duckycart.store.currency import agreed, read_currency

    with engine.connect() as connection:
        present = read_currency(connection)
    return None if present is None else agreed(present, wanted)


def _progress(lines: int) -> None:
    if at_terminal():
        typer.echo(f"{lines} lines read", err=True)


def at_terminal() -> bool:
    return sys.stderr.isatty()
