"""Products from a CSV file: all of it or nothing."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from duckycart.admin import catalogue
from tests.admin.conftest import HEADER, Csv, Shell

MILK = '0062200001,"Milk, full fat",حليب,1 l,12.50,1030,https://img.example/milk.png'
BREAD = "622,Bread,,,3,,"


def imported(shell: Shell) -> list[dict[str, Any]]:
    return [dict(row) for row in shell.rows("SELECT * FROM products ORDER BY barcode_number")]


def wrong(shell: Shell, path: Path, **environment: str) -> dict[int, str]:
    """What is wrong, by line; and nothing was imported."""
    error = shell.json_error("products", "import", path, **environment)
    assert error["error"] == "bad_lines"
    assert not shell.database.exists() or imported(shell) == []
    return {line["line"]: line["detail"] for line in error["lines"]}


def test_products_come_in(shell: Shell, csv_file: Csv) -> None:
    assert shell.json("products", "import", csv_file(MILK, BREAD)) == {"added": 2, "updated": 0, "unchanged": 0}
    bread, milk = imported(shell)
    assert {**milk, "id": 0} == {
        "id": 0,
        "barcode": "0062200001",
        "barcode_number": "62200001",
        "description": "Milk, full fat",
        "description_ar": "حليب",
        "product_size": "1 l",
        "unit_price": 1250,
        "weight_grams": 1030,
        "image_url": "https://img.example/milk.png",
    }
    assert (bread["unit_price"], bread["weight_grams"], bread["image_url"]) == (300, None, None)
    assert (bread["description_ar"], bread["product_size"]) == ("", "")


def test_a_second_import_updates_what_differs_and_says_so(shell: Shell, csv_file: Csv) -> None:
    shell.run("products", "import", csv_file(MILK, BREAD))
    before = {row["barcode"]: row["id"] for row in imported(shell)}
    assert shell.run("products", "import", csv_file(MILK, BREAD)) == "0 added, 0 updated, 2 unchanged.\n"
    count = shell.json("products", "import", csv_file(MILK.replace("12.50", "13"), "623,Eggs,,,9,,"))
    assert count == {"added": 1, "updated": 1, "unchanged": 0}
    assert [row["unit_price"] for row in imported(shell)] == [300, 1300, 900]  # bread is not in the file and stays
    assert {row["barcode"]: row["id"] for row in imported(shell)}.items() >= before.items()


@pytest.mark.parametrize(
    ("old", "new", "column"),
    [
        ("Milk, full fat", "Milk", "description"),
        ("حليب", "", "description_ar"),
        ("1 l", "2 l", "product_size"),
        ("1030", "", "weight_grams"),
        ("https://img.example/milk.png", "", "image_url"),
    ],
)
def test_each_column_is_updated(shell: Shell, csv_file: Csv, old: str, new: str, column: str) -> None:
    shell.run("products", "import", csv_file(MILK))
    before = imported(shell)[0]
    assert shell.json("products", "import", csv_file(MILK.replace(old, new)))["updated"] == 1
    after = imported(shell)[0]
    assert {name for name in after if after[name] != before[name]} == {column}
    assert shell.json("products", "import", csv_file(MILK))["updated"] == 1
    assert imported(shell)[0] == before


def test_columns_may_stand_in_any_order_after_a_bom_with_any_line_end(shell: Shell) -> None:
    lines = (
        "Unit_Price , image_url,weight_grams,product_size,description_ar,description,barcode",
        "1.5,,,,, Tea ,000123",
        "",
        '2,,,,,"She said ""tea""",124',
    )
    path = shell.file("products.csv", b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    assert shell.json("products", "import", path)["added"] == 2
    tea, said = imported(shell)
    assert (tea["barcode"], tea["barcode_number"], tea["description"], tea["unit_price"]) == (
        "000123",
        "123",
        "Tea",
        150,
    )
    assert said["description"] == 'She said "tea"'


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("", "lacks barcode, description, description_ar, product_size, unit_price, weight_grams, image_url"),
        (HEADER.replace(",unit_price", "").replace(",image_url", ""), "lacks unit_price, image_url"),
        (HEADER + ",colour,=cmd()", "not known: 'colour', '=cmd()'"),
        (HEADER + ",", "not known: ''"),
        (HEADER + ",barcode", "names twice: barcode"),
        (HEADER.replace(",", ";"), "separated by commas"),
        ('"' + HEADER, "not CSV"),
        (HEADER.replace(",", "\x00"), "control character"),
        (HEADER.replace(",", "\r"), "control character"),
    ],
)
def test_a_header_that_will_not_do(shell: Shell, header: str, said: str) -> None:
    assert said in wrong(shell, shell.file("products.csv", f"{header}\n{MILK}\n"))[1]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("622,Bread,,,3,", "6 fields where the header has 7"),
        ("622,Bread, white,,,3,,", "8 fields where the header has 7"),
        (",Bread,,,3,,", "barcode '' is not digits only"),
        ("62x,Bread,,,3,,", "not digits only"),
        ("-622,Bread,,,3,,", "not digits only"),
        ("6.22E+12,Bread,,,3,,", "not digits only"),
        ("٦٢٢,Bread,,,3,,", "not digits only"),
        ("²,Bread,,,3,,", "not digits only"),
        ("000,Bread,,,3,,", "only zeros"),
        ("1" * 41 + ",Bread,,,3,,", "barcode has 41 characters, at most 40"),
        ("622,,,,3,,", "description is empty"),
        ("622, ,,,3,,", "description is empty"),
        ("622," + "B" * 301 + ",,,3,,", "description has 301 characters"),
        ("622,Bread," + "خ" * 301 + ",,3,,", "description_ar has 301 characters"),
        ("622,Bread,," + "1" * 61 + ",3,,", "product_size has 61 characters"),
        ("622,Bread,,,3,,https://" + "x" * 500, "image_url has 508 characters"),
        ("622,Bread,,,3,,javascript:alert(1)", "does not begin with https://"),
        ("622,Bread,,,,,", "unit_price ''"),
        ("622,Bread,,,-3,,", "unit_price '-3' is no price"),
        ("622,Bread,,,3.,,", "no price"),
        ("622,Bread,,,.5,,", "no price"),
        ("622,Bread,,,1e3,,", "no price"),
        ("622,Bread,,,NaN,,", "no price"),
        ("622,Bread,,,٣,,", "no price"),
        ("622,Bread,,,3 EGP,,", "no price"),
        ('622,Bread,,,"3,50",,', "no price"),
        ('622,Bread,,,"1,200.00",,', "no price"),
        ("622,Bread,,,1234567890,,", "no price"),
        ("622,Bread,,,3.999,,", "more than 2 decimals"),
        ("622,Bread,,,3.000,,", "more than 2 decimals"),
        ("622,Bread,,,3,1.5,", "weight_grams '1.5' is no whole number"),
        ("622,Bread,,,3,-1,", "no whole number"),
        ("622,Bread,,,3,1000001,", "no whole number from 0 to 1000000"),
        ("622,Bread,,,3," + "9" * 5000 + ",", "no whole number"),
        ("622,Bread,,,3,²,", "no whole number"),
        ("622,Br\x00ead,,,3,,", r"control character '\x00'"),
        ("622,Br\x1b[31mead,,,3,,", r"control character '\x1b'"),
        ("622,Br\tead,,,3,,", r"control character '\t'"),
        ('622,"Bread,,,3,,', "not CSV"),
        ('622,"Bre"ad,,,3,,', "not CSV"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_imported(shell: Shell, csv_file: Csv, line: str, said: str) -> None:
    found = wrong(shell, csv_file(MILK, line, "623,Eggs,,,9,,"))
    assert found.keys() == {3}
    assert said in found[3]


def test_all_that_is_wrong_is_said_at_once(shell: Shell, csv_file: Csv) -> None:
    found = wrong(shell, csv_file("x,,,,-1,no,ftp://x", MILK, "1,Tea,,,1.234,,"))
    assert found.keys() == {2, 4}
    for column in ("barcode", "description", "unit_price", "weight_grams", "image_url"):
        assert column in found[2]


def test_people_read_the_lines_and_what_to_do(shell: Shell, csv_file: Csv) -> None:
    first, second, last = shell.fails("products", "import", csv_file("x,Tea,,,1,,", "1,Tea,,,x,,")).splitlines()
    assert first.startswith("line 2: barcode 'x'")
    assert second.startswith("line 3: unit_price 'x'")
    assert last == "Nothing was imported, because of 2 bad lines; correct the file and import it again."


def test_many_bad_lines_are_counted(shell: Shell, csv_file: Csv) -> None:
    path = csv_file(*(f"{number},,,,1,," for number in range(1, 101)))
    error = shell.json_error("products", "import", path)
    assert (len(error["lines"]), error["lines_not_shown"]) == (catalogue.SHOWN, 100 - catalogue.SHOWN)
    assert "… and 50 more" in shell.fails("products", "import", path)


@pytest.mark.parametrize("again", ["622", "0622", "000622"])
def test_two_lines_that_agree_without_zeros_name_each_other(shell: Shell, csv_file: Csv, again: str) -> None:
    found = wrong(shell, csv_file(BREAD, MILK, f"{again},Rolls,,,4,,"))
    assert found == {4: f"barcode {again} is, leading zeros aside, that of line 2"}


def test_a_barcode_that_differs_only_in_zeros_from_one_in_the_shop(shell: Shell, csv_file: Csv) -> None:
    shell.run("products", "import", csv_file(BREAD))
    error = shell.json_error("products", "import", csv_file(MILK, "0622,Rolls,,,4,,"))
    assert error["lines"] == [{"line": 3, "detail": "barcode 0622 is, leading zeros aside, that of the product 622"}]
    assert [row["description"] for row in imported(shell)] == ["Bread"]


def test_bytes_that_are_no_utf_8_are_named_by_line(shell: Shell) -> None:
    path = shell.file("products.csv", f"{HEADER}\n{MILK}\n".encode() + b"622,Caf\xe9,,,3,,\n")
    assert "UTF-8" in wrong(shell, path)[3]
    assert "UTF-8" in wrong(shell, shell.file("products.csv", f"{HEADER}\n{MILK}\n".encode("utf-16")))[1]


def test_a_line_without_end_is_not_read_to_its_end(shell: Shell) -> None:
    assert "longer than" in wrong(shell, Path("/dev/zero"))[1]
    path = shell.file("products.csv", f"{HEADER}\n{MILK}\n622,{'B' * catalogue.MAX_LINE},,,3,,\n")
    assert "longer than" in wrong(shell, path)[3]


def test_a_quote_that_is_never_closed_spoils_its_line_only(shell: Shell, csv_file: Csv) -> None:
    assert wrong(shell, csv_file('1,"Tea,,,1,,', MILK, "2,,,,1,,", BREAD)).keys() == {2, 4}


def test_the_number_of_lines_is_bounded(shell: Shell, csv_file: Csv, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "MAX_LINES", 2)
    assert shell.json("products", "import", csv_file(MILK, BREAD))["added"] == 2
    assert "split the file" in shell.fails("products", "import", csv_file(MILK, BREAD, "623,Eggs,,,9,,"))


def test_a_file_without_products_imports_none(shell: Shell, csv_file: Csv) -> None:
    assert shell.json("products", "import", csv_file()) == {"added": 0, "updated": 0, "unchanged": 0}
    assert "the header lacks" in wrong(shell, shell.file("empty.csv", ""))[1]


@pytest.mark.parametrize(
    ("currency", "price", "minor"),
    [
        ("JPY", "12", 12),
        ("EGP", "0.1", 10),
        ("EGP", "0", 0),
        ("KWD", "1.005", 1005),
        ("BHD", "999999999.999", 999_999_999_999),
        ("UYW", "999999999.9999", 9_999_999_999_999),
    ],
)
def test_f52_prices_become_minor_units_exactly(
    shell: Shell, csv_file: Csv, currency: str, price: str, minor: int
) -> None:
    shell.run("products", "import", csv_file(f"622,Bread,,,{price},,"), DUCKYCART_CURRENCY=currency)
    assert imported(shell)[0]["unit_price"] == minor


def test_f52_a_currency_without_decimals(shell: Shell, csv_file: Csv) -> None:
    found = wrong(shell, csv_file("622,Bread,,,12.5,,"), DUCKYCART_CURRENCY="JPY")
    assert "more than 0 decimals" in found[2]


def test_a_wrong_setting_is_named(shell: Shell, csv_file: Csv) -> None:
    said = shell.fails("products", "import", csv_file(MILK), DUCKYCART_PORT="eight")
    assert said == "A setting in the environment has a wrong value: DUCKYCART_PORT.\n"


def test_a_file_that_is_not_there_or_none(shell: Shell) -> None:
    assert "nope.csv: No such file" in shell.fails("products", "import", "nope.csv")
    assert "Is a directory" in shell.fails("products", "import", shell.folder)
    assert shell.json_error("products", "import", "nope.csv")["error"] == "cannot_read_or_write"
    assert not shell.database.exists()


def test_a_write_that_fails_half_way_leaves_nothing(shell: Shell, csv_file: Csv) -> None:
    shell.run("products", "import", csv_file(BREAD))
    connection = sqlite3.connect(shell.database)
    connection.executescript(
        "CREATE TRIGGER full BEFORE INSERT ON products WHEN NEW.barcode = '7' "
        "BEGIN SELECT RAISE(ABORT, 'disk full, so to say'); END"
    )
    connection.close()
    said = shell.fails("products", "import", csv_file("5,Tea,,,1,,", BREAD.replace("Bread", "Rolls"), "7,Eggs,,,1,,"))
    assert "disk full, so to say" in said
    assert [row["description"] for row in imported(shell)] == ["Bread"]


def test_progress_is_for_long_files_at_a_terminal(shell: Shell, csv_file: Csv, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "PROGRESS_LINES", 2)
    path = csv_file(MILK, BREAD)
    assert "lines read" not in shell.invoke("products", "import", path).stderr
    monkeypatch.setattr("duckycart.admin.products.at_terminal", lambda: True)
    assert "2 lines read\n" in shell.invoke("products", "import", path).stderr


def test_what_the_shop_sells_is_listed_by_name(shell: Shell, csv_file: Csv) -> None:
    shell.run("products", "import", csv_file(MILK, BREAD))
    assert shell.run("products", "list").splitlines() == [
        "BARCODE     NAME            SIZE  PRICE",
        "622         Bread                 3.00 EGP",
        "0062200001  Milk, full fat  1 l   12.50 EGP",
    ]
    bread, milk = shell.json("products", "list")["products"]
    assert (bread["barcode"], bread["unit_price"], bread["weight_grams"]) == ("622", 3.0, None)
    assert (milk["description_ar"], milk["unit_price"]) == ("حليب", 12.5)


def test_a_shop_that_sells_nothing_says_how_it_will(shell: Shell) -> None:
    shell.run("carts", "add", "1")
    assert "duckycart products import" in shell.invoke("products", "list").stderr
    assert shell.json("products", "list") == {"products": []}
