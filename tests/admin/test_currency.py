"""F52: currency and decimals are facts of the database; whoever says otherwise is refused, with what to do."""

from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import make_url, text

from duckycart.currency import Currency, WrongCurrency, currency_of
from duckycart.errors import BadRequest
from duckycart.settings import Settings
from duckycart.store import migrate
from duckycart.store.address import locate
from duckycart.store.database import engine_for, open_database
from duckycart.store.migrate import migrate_sqlite, upgrade_postgres
from tests.admin.conftest import Csv, Shell
from tests.conftest import OpenShop
from tests.postgres import Postgres
from tests.world import open_shop

YEN = "622,Rice,,,980,,"


def rows(database: str, sql: str) -> list[tuple[Any, ...]]:
    engine = engine_for(locate(database))
    with engine.connect() as connection:
        found = [tuple(row) for row in connection.execute(text(sql))]
    engine.dispose()
    return found


def has(database: str) -> list[tuple[Any, ...]]:
    return rows(database, "SELECT code, digits FROM shop_currency")


async def start(database: str, **settings: Any) -> None:
    async with open_shop(database, **settings):
        pass


@pytest.mark.parametrize(("code", "digits"), [("EGP", 2), ("JPY", 0), ("KWD", 3), ("UYW", 4), ("IQD", 3), ("HUF", 2)])
def test_f52_decimals_are_those_of_iso_4217(code: str, digits: int) -> None:
    assert currency_of(code) == Currency(code, digits)
    assert Settings(currency=code).wanted_currency == Currency(code, digits)


@pytest.mark.parametrize("code", ["ZZZ", "XXX", "XAU", "XTS", "egp", "", "EGPX", "\u00c9GP", "EG\x00"])
def test_f52_what_is_no_money_is_refused_with_a_sentence(shell: Shell, csv_file: Csv, code: str) -> None:
    with pytest.raises(BadRequest, match="no currency of ISO 4217"):
        currency_of(code)
    if code and "\x00" not in code:
        assert "no currency of ISO 4217" in shell.fails("serve", DUCKYCART_CURRENCY=code)
        assert "no currency of ISO 4217" in shell.fails("products", "import", csv_file(YEN), DUCKYCART_CURRENCY=code)
        assert not shell.database.exists()


def test_f52_other_decimals_than_the_currency_has_are_refused_with_a_sentence(shell: Shell, csv_file: Csv) -> None:
    assert "JPY has 0" in shell.fails("serve", DUCKYCART_CURRENCY="JPY", DUCKYCART_CURRENCY_DIGITS="2")
    said = shell.fails("products", "import", csv_file(YEN), DUCKYCART_CURRENCY_DIGITS="2")
    assert "leave DUCKYCART_CURRENCY_DIGITS out" in said
    assert not shell.database.exists()
    shell.run("products", "import", csv_file(YEN), DUCKYCART_CURRENCY="JPY", DUCKYCART_CURRENCY_DIGITS="0")


@pytest.mark.parametrize("amount", [0, 5, 980, 12_345_678_901])
def test_f52_an_amount_is_written_with_all_its_decimals(amount: int) -> None:
    assert [Currency("KWD", 3).written(amount), Currency("JPY", 0).written(amount)] == [
        f"{amount / 1000:.3f} KWD", f"{amount} JPY"
    ]  # fmt: skip
    assert Currency("CLF", 4).major(amount) == amount / 10_000


def test_f52_the_first_product_decides_and_the_next_importer_goes_by_it(
    shell: Shell, csv_file: Csv, database: str
) -> None:
    env = {"DUCKYCART_DATABASE": database}
    assert has(database) == []
    shell.run("products", "import", csv_file(YEN), DUCKYCART_CURRENCY="JPY", **env)
    assert has(database) == [("JPY", 0)]
    shell.run("products", "import", csv_file(YEN, "623,Tea,,,120,,"), **env)
    assert rows(database, "SELECT unit_price FROM products ORDER BY id") == [(980,), (120,)]
    for other in ("EGP", "KWD"):
        error = shell.json_error("products", "import", csv_file("622,Rice,,,1,,"), DUCKYCART_CURRENCY=other, **env)
        assert error["error"] == "wrong_currency"
        assert "Leave DUCKYCART_CURRENCY out, or set it to JPY" in error["detail"]
    assert rows(database, "SELECT unit_price FROM products ORDER BY id") == [(980,), (120,)]
    assert has(database) == [("JPY", 0)]


def test_f52_a_bad_file_fixes_nothing(shell: Shell, csv_file: Csv, database: str) -> None:
    env = {"DUCKYCART_DATABASE": database, "DUCKYCART_CURRENCY": "JPY"}
    shell.fails("products", "import", csv_file("622,Rice,,,9.80,,"), **env)
    assert has(database) == []


async def test_f52_a_server_refuses_to_start_with_another_currency(shell: Shell, csv_file: Csv, database: str) -> None:
    shell.run("products", "import", csv_file(YEN), DUCKYCART_CURRENCY="JPY", DUCKYCART_DATABASE=database)
    said = shell.fails("serve", DUCKYCART_CURRENCY="EGP", DUCKYCART_DATABASE=database)
    assert said.endswith("as long as nobody has shopped yet.\n")
    assert "the prices of this database are in JPY, with 0 decimals" in said
    with pytest.raises(WrongCurrency):
        open_database(database, currency=currency_of("KWD"))
    await start(database, currency="JPY")
    await start(database)
    assert has(database) == [("JPY", 0)]


async def test_f52_a_server_that_was_told_one_has_decided(shell: Shell, csv_file: Csv, database: str) -> None:
    """Else an import from a shell that knows nothing of it would decide against the server that runs."""
    async with open_shop(database, currency="JPY"):
        shell.run("products", "import", csv_file(YEN), DUCKYCART_DATABASE=database)
        assert rows(database, "SELECT unit_price FROM products") == [(980,)]
        said = shell.fails("products", "import", csv_file(YEN), DUCKYCART_CURRENCY="EGP", DUCKYCART_DATABASE=database)
        assert "in JPY" in said


async def test_f52_a_server_that_was_told_none_goes_by_what_an_import_decides(
    shell: Shell, csv_file: Csv, database: str
) -> None:
    async with open_shop(database, offline_carts="accept") as shop:
        assert has(database) == []
        shell.run("products", "import", csv_file("622,Oil,,,1.250,,"), DUCKYCART_CURRENCY="KWD",
                  DUCKYCART_DATABASE=database)  # fmt: skip
        await shop.add_cart(1)
        shopper = await shop.shopper()
        read = (await shop.http.get("/items/read/622", headers=shopper)).json()
        assert (read["unit_price"], read["currency"], read["currency_digits"]) == (1.25, "KWD", 3)


async def test_f52_the_first_session_decides(opening: OpenShop, database: str) -> None:
    async with opening(offline_carts="accept") as shop:
        await shop.add_cart(1)
        assert has(database) == []
        await shop.start(await shop.shopper())
        assert has(database) == [("EGP", 2)]
    with pytest.raises(WrongCurrency):
        open_database(database, currency=currency_of("JPY"))


@pytest.mark.parametrize(
    ("code", "price", "minor", "shown"),
    [("JPY", 980, 980, "980 JPY"), ("KWD", 12.505, 12_505, "12.505 KWD"), ("CLF", 1.0001, 10_001, "1.0001 CLF")],
)
async def test_f52_other_decimals_go_the_whole_way(
    shell: Shell, csv_file: Csv, opening: OpenShop, database: str, code: str, price: float, minor: int, shown: str
) -> None:
    """Import, add, total, payment, page, webhook, analytics; the importer's and the server's shells say nothing."""
    env = {"DUCKYCART_DATABASE": database}
    shell.run("db", "currency", code, **env)
    shell.run("products", "import", csv_file(f"622,Thing,,,{price},,"), **env)
    async with opening(offline_carts="accept") as shop:
        await shop.add_cart(1)
        shopper = await shop.shopper()
        session_id = await shop.start(shopper)
        line = (await shop.add(session_id, 622)).json()
        assert (line["product"]["unit_price"], line["product"]["currency"]) == (price, code)
        basket = (await shop.http.get(f"/cart-items/session/{session_id}", headers=shopper)).json()
        assert basket["total_price"] == price
        payment = (await shop.create_payment(session_id, shopper)).json()
        assert (payment["amount"], payment["currency"]) == (price, code)
        assert shown in (await shop.http.get(payment["payment_url"])).text
        await shop.press(payment["payment_url"])
        assert (await shop.session_row(session_id)).end_reason == "paid"
        assert await shop.alarm_kinds() == []
    assert rows(database, "SELECT paid, currency FROM analytics") == [(minor, code)]


async def test_f52_no_environment_stops_or_misleads_the_other_commands(
    shell: Shell, csv_file: Csv, opening: OpenShop, database: str
) -> None:
    env: dict[str, str] = {
        "DUCKYCART_DATABASE": database,
        "DUCKYCART_CURRENCY": "ZZZ",
        "DUCKYCART_CURRENCY_DIGITS": "x",
    }
    async with opening(offline_carts="accept", currency="KWD") as shop:
        await shop.add_cart(1)
        session_id = await shop.start(await shop.shopper())
        shell.run("sessions", "list", **env)
        shell.run("sessions", "end", session_id, **env)
        shell.run("users", "add", "boss@example.com", typed="long enough word\n", **env)
        assert shell.json("db", "currency", **env) == {"currency": "KWD", "digits": 3}
    assert rows(database, "SELECT currency FROM analytics") == [("KWD",)]
    assert "KWD" in shell.run("db", "check", DUCKYCART_DATABASE=database)
    assert shell.json_error("db", "check", **{**env, "DUCKYCART_CURRENCY": "EGP", "DUCKYCART_CURRENCY_DIGITS": "2"})[
        "error"
    ] == "wrong_currency"  # fmt: skip


async def test_f52_it_can_be_changed_until_somebody_has_shopped(
    shell: Shell, csv_file: Csv, opening: OpenShop, database: str
) -> None:
    env = {"DUCKYCART_DATABASE": database}
    shell.run("products", "import", csv_file("622,Rice,,,12.50,,", "623,Tea,,,3,,"), **env)
    assert has(database) == [("EGP", 2)]
    shell.run("db", "currency", "kwd", **env)
    assert rows(database, "SELECT unit_price FROM products ORDER BY id") == [(12_500,), (3000,)]
    assert shell.json_error("db", "currency", "JPY", **env)["error"] == "too_many_decimals"
    shell.run("db", "currency", "USD", **env)
    assert rows(database, "SELECT unit_price FROM products ORDER BY id") == [(1250,), (300,)]
    assert shell.json_error("db", "currency", "ZZZ", **env)["error"] == "unknown_currency"
    async with opening(offline_carts="accept") as shop:
        assert shell.json_error("db", "currency", "EUR", **env)["error"] == "database_in_use"
        await shop.add_cart(1)
        await shop.start(await shop.shopper())
    assert shell.json_error("db", "currency", "EUR", **env)["error"] == "currency_in_use"
    assert shell.json("db", "currency", **env) == {"currency": "USD", "digits": 2}


def test_f52_a_copy_has_the_same_currency(shell: Shell, csv_file: Csv, postgres_database: str) -> None:
    shell.run("products", "import", csv_file(YEN), DUCKYCART_CURRENCY="JPY")
    shell.run("db", "copy", postgres_database)
    assert has(postgres_database) == [("JPY", 0)]


@pytest.fixture
def before_it(tmp_path: Path, postgres: Postgres, request: pytest.FixtureRequest) -> Any:
    """The URL of a database of the schema before there was a currency."""
    with postgres.database() as url:
        place = tmp_path / "old.db" if request.param == "sqlite" else url
        engine = engine_for(place)
        with engine.begin() as connection:
            command.upgrade(migrate._config(connection), "0006")
        engine.dispose()
        yield f"sqlite:///{place}" if request.param == "sqlite" else url.render_as_string(hide_password=False)


SHOPPED = """
    INSERT INTO carts (id, key_hash, created_at) VALUES (1, 'k', 0);
    INSERT INTO users (id, full_name, is_active, is_operator, created_at) VALUES (1, '', true, false, 0);
    INSERT INTO sessions (id, cart_id, user_id, qr_round, is_active, created_at, touched_at, ended_at, version)
        VALUES (1, 1, 1, 1, false, 0, 0, 1, 1);
"""
PAID = """
    INSERT INTO payments (id, session_id, provider, token, state, amount, currency, created_at)
        VALUES (7, 1, 'sandbox', 't', 'paid', 980, 'JPY', 0)
"""
COUNTED = """
    INSERT INTO analytics (session_id, cart_id, user_id, started_at, ended_at, end_reason, units, total, paid, currency)
        VALUES (1, 1, 1, 0, 1, 'ended', 0, 0, 0, 'KWD')
"""


@pytest.mark.parametrize("before_it", ["sqlite", "postgres"], indirect=True)
@pytest.mark.parametrize(
    ("recorded", "expected"), [(PAID, [("JPY", 0)]), (COUNTED, [("KWD", 3)]), ("", [])], ids=["paid", "counted", "none"]
)
def test_f52_an_older_database_has_what_it_recorded(before_it: str, recorded: str, expected: list[Any]) -> None:
    place = locate(before_it)
    engine = engine_for(place)
    with engine.begin() as connection:
        for statement in (SHOPPED + recorded).split(";"):
            if statement.strip():
                connection.execute(text(statement))
    engine.dispose()
    if isinstance(place, Path):
        migrate_sqlite(place)
    else:
        upgrade_postgres(make_url(before_it))
    assert has(before_it) == expected
    if recorded == PAID:
        with engine_for(place).begin() as connection:
            connection.execute(text(PAID.replace("(7,", "(8,").replace("'t'", "'u'").replace("980", "0")))
        assert rows(before_it, "SELECT id, amount FROM payments ORDER BY id") == [(7, 980), (8, 0)]


async def test_f52_an_older_database_with_prices_gets_the_currency_of_its_first_server(
    opening: OpenShop, database: str, shell: Shell, csv_file: Csv
) -> None:
    shell.run("products", "import", csv_file(YEN), DUCKYCART_DATABASE=database)
    engine = engine_for(locate(database))
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM shop_currency"))
    engine.dispose()
    async with opening():
        assert has(database) == [("EGP", 2)]
