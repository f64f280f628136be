"""What a maker installs on a cart is what the program takes."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from duckycart.cart import stdin
from duckycart.cart.command import Chosen, app
from duckycart.cart.config import read

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "cart"
UNIT = (FOLDER / "duckycart-cart.service").read_text()


@pytest.fixture
def paired(tmp_path: Path) -> Path:
    """The example on a cart that has its key."""
    (tmp_path / "key").write_text("a-key\n")
    path = tmp_path / "paired.toml"
    path.write_text((FOLDER / "cart.toml.example").read_text().replace("/etc/duckycart/key", str(tmp_path / "key")))
    return path


@pytest.fixture
def everything(tmp_path: Path, paired: Path) -> Path:
    """The example with nothing left out."""
    text = paired.read_text()
    text = re.sub(r"^# (?=\[|\w+ = )", "", text, flags=re.MULTILINE)
    path = tmp_path / "cart.toml"
    path.write_text(text.replace('["terminal"]', '["terminal", "scanner", "scale", "gpio"]'))
    return path


def test_the_example_is_read_as_it_is(paired: Path) -> None:
    assert read(paired).cart == 7


def test_every_setting_of_the_example_is_one_that_the_drivers_take(everything: Path) -> None:
    stdin.release()
    chosen = Chosen(None, None, None, None, None, everything, None, None)
    assert set(chosen.file.tables) == {"scanner", "scale", "gpio"}
    chosen.drivers(sys.stdout)
    assert chosen.file.ca == "/etc/duckycart/ca.pem"


def test_the_unit_starts_what_there_is_and_its_watchdog_is_fed() -> None:
    (command,) = re.findall(r"^ExecStart=\S+/duckycart cart (.*)$", UNIT, re.MULTILINE)
    word, *options = command.split()
    assert word in {name.name for name in app.registered_commands} | {"run"}
    help_text = CliRunner().invoke(app, [word, "--help"], env={"COLUMNS": "200"}).output
    assert all(option in help_text for option in options if option.startswith("--"))
    assert "Type=notify" in UNIT
    assert "WatchdogSec=" in UNIT
    assert "StateDirectory=" in UNIT


def test_the_installer_knows_the_extras_of_a_cart_s_hardware() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    script = (FOLDER / "install.sh").read_text()
    (named,) = re.findall(r"^        ([a-z |]+)\) ;;$", script, re.MULTILINE)
    assert set(named.split(" | ")) == extras.keys() - {"server", "postgres", "nats"}
    subprocess.run(["sh", "-n", FOLDER / "install.sh"], check=True)
    wrong = subprocess.run([FOLDER / "install.sh", "wheels"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 1
    assert "Run it as root" in wrong.stderr or "There is no extra wheels; there are" in wrong.stderr
