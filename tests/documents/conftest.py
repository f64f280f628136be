"""The server's documents, read from the server, and the AsyncAPI project's parser."""

from pathlib import Path

import pytest

from tests.node import node_with

PARSER = Path(__file__).parent / "parser"


@pytest.fixture
def node() -> str:
    """The program that runs the parser."""
    return node_with(PARSER, "/asyncapi.json was NOT given to the AsyncAPI parser")


@pytest.fixture
def database(sqlite_database: str) -> str:
    """What the documents say does not depend on it."""
    return sqlite_database
