"""The server's documents, read from the server, and the AsyncAPI project's parser."""

import os
import platform
import shutil
import sys
from pathlib import Path

import pytest

PARSER = Path(__file__).parent / "parser"


@pytest.fixture
def node() -> str:
    """The program that runs the parser. Where it or the parser is missing the test is skipped aloud; in CI, where both
    can be installed, it fails."""
    beside_python = str(Path(sys.executable).parent)
    node = shutil.which("node", path=os.pathsep.join([beside_python, os.environ.get("PATH", os.defpath)]))
    if node is None:
        _skip("there is no node on PATH")
    elif not (PARSER / "node_modules").is_dir():
        _skip("the parser is not installed; `npm ci` in tests/documents/parser does it")
    else:
        return node
    raise AssertionError("unreachable")


def _skip(reason: str) -> None:
    if os.environ.get("CI") == "true" and platform.machine() == "x86_64":
        pytest.fail(reason)
    pytest.skip(f"/asyncapi.json was NOT given to the AsyncAPI parser: {reason}")


@pytest.fixture
def database(sqlite_database: str) -> str:
    """What the documents say does not depend on it."""
    return sqlite_database
