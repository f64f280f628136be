"""One file, the environment over it, the command line over that; what is wrong is named with its line."""

from pathlib import Path
from typing import Any

import pytest

from duckycart.cart.command import Chosen
from duckycart.cart.config import Configuration, WrongConfiguration, read

WHOLE = """\
cart = 7
url = "https://shop.example:8000"
key = "secret"
ca = "/etc/duckycart/ca.pem"
drivers = ["terminal", "scanner"]
qr = false
state = "/var/lib/cart"
tolerance = 20

[scanner]
device = "/dev/input/scanner"

[terminal]
keyboard = false
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "cart.toml"
    path.write_text(WHOLE)
    return path


def chosen(config: Path | None, **given: Any) -> Chosen:
    none = dict.fromkeys(("cart_id", "url", "key", "drivers", "qr", "ca", "state"))
    return Chosen(config=config, **{**none, **given})


def test_the_whole_file(file: Path) -> None:
    found = read(file)
    assert (found.cart, found.url, found.key, found.qr) == (7, "https://shop.example:8000", "secret", False)
    assert (found.drivers, found.state, found.tolerance) == (("terminal", "scanner"), "/var/lib/cart", 20)
    assert found.tables == {"scanner": {"device": "/dev/input/scanner"}, "terminal": {"keyboard": False}}
    assert "secret" not in repr(found)


def test_without_a_file_there_are_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("duckycart.cart.config.DEFAULT", tmp_path / "none.toml")
    assert read(None) == Configuration()


def test_the_file_of_the_machine_is_read_where_none_is_named(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    monkeypatch.setattr("duckycart.cart.config.DEFAULT", file)
    assert chosen(None).cart_id == 7


def test_what_is_given_stands_over_the_file(file: Path) -> None:
    given = chosen(file, cart_id=8, url="http://other", key="k", drivers=["lines,gpio"], qr=True, state=Path("/tmp/s"))
    assert (given.cart_id, given.url, given.key, given.qr) == (8, "http://other", "k", True)
    assert (given.names, given.state) == (["lines", "gpio"], Path("/tmp/s"))


def test_systemd_s_folder_is_where_a_cart_keeps_its_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", f"{tmp_path}:/elsewhere")
    monkeypatch.setattr("duckycart.cart.config.DEFAULT", tmp_path / "none.toml")
    assert chosen(None, cart_id=1).state == tmp_path


def test_the_key_may_be_in_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("secret\n")
    path = tmp_path / "cart.toml"
    path.write_text(f'key_file = "{tmp_path}/key"')
    assert read(path).key == "secret"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("\n\ncart = 0", "line 3: cart must be a whole number from 1 to"),
        ('cart = "7"', "line 1: cart must be a whole number"),
        ("cart = true", "line 1: cart must be a whole number"),
        ("url = 5", "line 1: url must be a text"),
        ('url = ""', "line 1: url must be a text"),
        ("qr = 1", "line 1: qr must be true or false"),
        ('drivers = "terminal"', "line 1: drivers must be a list of names"),
        ("drivers = []", "line 1: drivers must be a list of names"),
        ("drivers = [1]", "line 1: drivers must be a list of names"),
        ("tolerance = 5000", "line 1: tolerance must be whole grams"),
        ('crat = 7\nurl = "x"', "line 1: crat is no setting; is it cart?"),
        ("wheels = 4", "line 1: wheels is no setting; there are cart,"),
        ("[url]", "line 1: url must be a text"),
        ('key = "a"\nkey_file = "b"', "line 2: key_file and key are both given"),
        ('key_file = "/nowhere"', "line 1: key_file cannot be read"),
        ("cart = = 7", "is no TOML"),
        ('"\x00"', "is no TOML"),
    ],
)
def test_a_wrong_file_is_named_with_its_line(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "cart.toml"
    path.write_text(text)
    with pytest.raises(WrongConfiguration) as wrong:
        read(path)
    assert str(path) in str(wrong.value)
    assert sentence in str(wrong.value)


def test_what_is_no_text_is_said(tmp_path: Path) -> None:
    path = tmp_path / "cart.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(WrongConfiguration, match="not UTF-8"):
        read(path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('drivers = ["terminal"]\n[terminal]\nkeyboard = 1', "line 3: terminal.keyboard must be true or false"),
        (
            'drivers = ["terminal"]\n[terminal]\nkeybaord = true',
            "line 3: terminal.keybaord is no setting here; is it",
        ),
        ('drivers = ["scale"]\n[scale]\ndevice = "x"\nbaud = 1', "line 4: scale.baud must be a number from 300"),
        ('drivers = ["terminal"]\n[scale]\ndevice = "x"', "line 2: scale is a table of a driver that is not among"),
    ],
)
def test_a_wrong_setting_of_a_driver_is_named_with_its_line(
    tmp_path: Path, text: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    import sys

    import typer

    path = tmp_path / "cart.toml"
    path.write_text(f"cart = 1\n{text}".removeprefix("cart = 1\n"))
    with pytest.raises(typer.Exit):
        chosen(path, cart_id=1).drivers(sys.stdout)
    assert sentence in capsys.readouterr().err
