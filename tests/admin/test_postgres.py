"""The same commands on PostgreSQL."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, create_engine, make_url, text

from duckycart.store import migrate
from tests.admin.conftest import Shell
from tests.ports import free_port
from tests.postgres import Postgres

PRODUCTS = "barcode,description,description_ar,product_size,unit_price,weight_grams,image_url\n"


def url_of(url: URL) -> str:
    return url.render_as_string(hide_password=False)


@pytest.fixture
def empty(postgres: Postgres) -> Iterator[str]:
    with postgres.database() as url:
        yield url_of(url)


def rows(database: str, sql: str) -> list[Any]:
    engine = create_engine(make_url(database))
    with engine.connect() as connection:
        found = [tuple(row) for row in connection.execute(text(sql))]
    engine.dispose()
    return found


def test_upgrade_makes_the_tables_and_check_says_whether_they_are_there(shell: Shell, empty: str) -> None:
    asked = shell.json_error("db", "check", DUCKYCART_DATABASE=empty)
    assert asked["error"] == "wrong_schema"
    assert "Run `duckycart db upgrade`" in asked["detail"]
    made = shell.json("db", "upgrade", DUCKYCART_DATABASE=empty)
    assert made["before"] is None
    again = shell.json("db", "upgrade", DUCKYCART_DATABASE=empty)
    assert again["before"] == again["schema"] == made["schema"]
    assert shell.json("db", "check", DUCKYCART_DATABASE=empty)["schema"] == made["schema"]


def test_nothing_is_done_to_a_database_that_was_not_upgraded(shell: Shell, empty: str) -> None:
    assert "db upgrade" in shell.fails("carts", "add", "1", DUCKYCART_DATABASE=empty)
    assert rows(empty, "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'") == [(0,)]


def test_a_database_of_something_else_is_left_alone(shell: Shell, empty: str) -> None:
    engine = create_engine(make_url(empty))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE theirs (id integer)"))
    engine.dispose()
    for what in ("check", "upgrade"):
        assert shell.json_error("db", what, DUCKYCART_DATABASE=empty)["error"] == "foreign_database"
    assert rows(empty, "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'") == [
        ("theirs",)
    ]


def test_a_schema_of_a_newer_version_is_left_alone(shell: Shell, postgres_database: str) -> None:
    engine = create_engine(make_url(postgres_database))
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    for what in ("check", "upgrade"):
        said = shell.json_error("db", what, DUCKYCART_DATABASE=postgres_database)
        assert said["error"] == "wrong_schema"
        assert "newer DuckyCart" in said["detail"]


def test_a_server_that_is_not_there_is_said_without_the_password(shell: Shell) -> None:
    nowhere = f"postgresql+psycopg://ducky:very-secret@127.0.0.1:{free_port()}/shop"
    said = shell.json_error("db", "check", DUCKYCART_DATABASE=nowhere)
    assert said["error"] == "database_unavailable"
    assert "very-secret" not in said["detail"]


def test_carts_are_added_listed_and_withdrawn(shell: Shell, postgres_database: str) -> None:
    def run(*arguments: str) -> Any:
        return shell.json("carts", *arguments, DUCKYCART_DATABASE=postgres_database)

    keys = {cart["id"]: cart["key"] for cart in run("add", "1-3")["carts"]}
    assert run("rotate-key", "2")["key"] != keys[2]
    assert run("disable", "3")["disabled"]
    assert [(cart["id"], cart["disabled"]) for cart in run("list")["carts"]] == [(1, False), (2, False), (3, True)]
    for arguments in (("add", "3-4"), ("add", "9", "--key", keys[1])):
        said = shell.json_error("carts", *arguments, DUCKYCART_DATABASE=postgres_database)
        assert said["error"] in ("cart_exists", "key_taken")
    assert len(run("list")["carts"]) == 3


def test_products_are_brought_in_twice(shell: Shell, postgres_database: str, tmp_path: Path) -> None:
    file = tmp_path / "products.csv"
    count: Callable[[], Any] = lambda: shell.json("products", "import", str(file), DUCKYCART_DATABASE=postgres_database)  # noqa: E731
    file.write_text(PRODUCTS + "0012,Milk,حليب,1 l,12.50,1030,\n13,Bread,,,5.00,,\n")
    first = count()
    file.write_text(PRODUCTS + "0012,Milk,حليب,1 l,13.00,1030,\n13,Bread,,,5.00,,\n14,Tea,,,1.00,,\n")
    second = count()
    assert [(one["added"], one["updated"], one["unchanged"]) for one in (first, second)] == [(2, 0, 0), (1, 1, 1)]
    prices = rows(postgres_database, "SELECT barcode_number, unit_price FROM products ORDER BY barcode_number")
    assert prices == [("12", 1300), ("13", 500), ("14", 100)]
    file.write_text(PRODUCTS + "12,Milk,,,1.00,,\n")  # that of 0012, but for the zeros
    refused = shell.json_error("products", "import", str(file), DUCKYCART_DATABASE=postgres_database)
    assert refused["lines"][0]["line"] == 2
    assert rows(postgres_database, "SELECT count(*) FROM products") == [(3,)]


def test_what_is_for_files_alone_says_so(shell: Shell, postgres_database: str) -> None:
    assert "pg_dump" in shell.fails("db", "backup", "copy.db", DUCKYCART_DATABASE=postgres_database)


def test_several_upgrades_at_once_all_succeed(postgres: Postgres) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with postgres.database() as url, ThreadPoolExecutor(4) as threads:
        done = list(threads.map(lambda _: migrate.upgrade_postgres(url), range(4)))
    assert sorted(before is None for before, _ in done) == [False, False, False, True]
