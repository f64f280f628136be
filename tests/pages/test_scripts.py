"""The scripts of the pages, as a type checker and a linter read them."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.node import node_with
from tests.pages.test_files import FOLDER, PAGES, scripts

CHECKS = Path(__file__).parent / "scripts"


@pytest.fixture
def node() -> str:
    return node_with(CHECKS, "the types and the lint of the pages' scripts were NOT checked")


def content(node: str, program: str, *arguments: str) -> None:
    """The test fails with what the program has against the scripts. One that finds no script is not content either."""
    command = [node, str(CHECKS / "node_modules" / program), *arguments]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.fail(f"{done.stdout}{done.stderr}", pytrace=False)


def test_their_types_are_right(node: str) -> None:
    content(node, "typescript/bin/tsc", "--project", str(CHECKS))


def test_the_linter_has_nothing_against_them(node: str) -> None:
    content(node, "eslint/bin/eslint.js", "--config", str(CHECKS / "eslint.config.js"), "--max-warnings", "0", ".")


@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_every_element_that_its_script_asks_for(page: str) -> None:
    ids = set(re.findall(r'\bid="(\w+)"', (FOLDER / f"{page}.html").read_text()))
    asked = set(re.findall(r'(?:\$|onTap)\("(\w+)"', scripts(page)))
    assert len(asked) > 20
    assert asked <= ids
