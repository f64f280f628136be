"""The contracts on imports (pyproject.toml) are kept, and each would be broken by what it is there to forbid."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "duckycart"
CONTRACTS = {
    contract["id"]: contract
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
}
OF_THE_CART = {"cart", "clock", "outlet", "wire"}  # what the cart's program is made of

FORBIDDEN = [  # the contract, the module, and what an author in a hurry might add to it
    ("layers", "lifecycle/carts.py", "import duckycart.hardware.links"),
    ("layers", "payments/checkout.py", "import duckycart.hardware.links"),
    ("layers", "hardware/socket.py", "import duckycart.channels.screen_socket"),
    ("layers", "clock.py", "import duckycart.errors"),
    ("layers", "hardware/dispatch.py", "if TYPE_CHECKING:\n    import duckycart.api.who"),
    ("layers", "settings.py", "def late() -> None:\n    import duckycart.app"),
    ("circles", "lifecycle/access.py", "import duckycart.lifecycle.sessions"),
    ("cart", "cart/qr.py", "import duckycart.settings"),
    ("cart", "outlet.py", "import sqlalchemy"),
    ("transport", "lifecycle/qr.py", "import starlette"),
    ("transport", "errors.py", "import uvicorn"),
    ("sans-io", "hardware/link.py", "import asyncio"),
    ("sans-io", "cart/machine.py", "import sqlalchemy"),
    ("statements", "api/who.py", "import duckycart.store.tables"),
    ("provider", "payments/checkout.py", "import duckycart.providers.sandbox"),
]


def lint(folder: Path) -> tuple[int, str]:
    """What import-linter says of the package in this folder: its exit code and its words."""
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache", ROOT / "pyproject.toml"],
        cwd=folder,
        env={"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr


def broken(words: str) -> dict[str, str]:
    """What was said of each broken contract, by the contract's id."""
    names = {contract["name"]: name for name, contract in CONTRACTS.items()}
    said: dict[str, str] = {}
    name = ""
    for line in words.partition("Broken contracts")[2].splitlines():
        name = names.get(line, name)
        said[name] = f"{said.get(name, '')}{line}\n"
    return said


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What is said of a copy of the package with every import of FORBIDDEN in it."""
    folder = tmp_path_factory.mktemp("spoiled")
    shutil.copytree(PACKAGE, folder / "duckycart", ignore=shutil.ignore_patterns("__pycache__"))
    for _, module, line in FORBIDDEN:
        with (folder / "duckycart" / module).open("a") as file:
            file.write(f"\n{line}\n")
    code, words = lint(folder)
    assert code == 1, words
    return broken(words)


def test_every_contract_is_kept() -> None:
    code, words = lint(PACKAGE.parent)
    assert code == 0, words
    assert words.count("KEPT") == len(CONTRACTS)


@pytest.mark.parametrize(("contract", "module", "line"), FORBIDDEN)
def test_an_import_that_a_contract_forbids_breaks_it(
    spoiled: dict[str, str], contract: str, module: str, line: str
) -> None:
    importer = "duckycart." + module.removesuffix(".py").replace("/", ".")
    imported = line.partition("import ")[2]
    if contract == "circles":  # it names modules within their folder
        importer, imported = (f".{name.rpartition('.')[2]}" for name in (importer, imported))
    assert f"{importer} -> {imported} " in spoiled[contract]


def test_a_module_without_a_place_in_the_order_breaks_it(tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "duckycart", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "duckycart" / "newcomer.py").touch()
    code, words = lint(tmp_path)
    assert code == 1, words
    assert "newcomer" in words


def test_the_carts_program_may_import_no_part_of_the_package_but_its_own() -> None:
    below = {part.strip() for layer in CONTRACTS["layers"]["layers"] for part in layer.split("|")}
    grounds = {part.strip() for part in CONTRACTS["layers"]["layers"][-1].split("|")}
    forbidden = {name.removeprefix("duckycart.") for name in CONTRACTS["cart"]["forbidden_modules"]}
    assert below - grounds - OF_THE_CART <= forbidden | {"__main__"}
