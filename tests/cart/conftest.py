"""The program on the cart does not see which database its server has."""

import pytest


@pytest.fixture
def database(sqlite_database: str) -> str:
    return sqlite_database
