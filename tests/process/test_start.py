"""A start that leaves out what it does not need: a restart is as long as carts and screens have to wait (F69)."""

import subprocess
import sys
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from duckycart.store import migrate

# Each is loaded where it is needed, with a line that says why.
FOR_OTHERS = {
    "alembic": "a file whose schema is not of this version",
    "psycopg": "a database on PostgreSQL",
    "nats": "several nodes",
    "httpx2": "the cart's program",
}

START = """
import sys
from duckycart import cli
from duckycart.app import build_app
from duckycart.server import make_server
from duckycart.settings import Settings
from duckycart.store.database import open_database

settings = Settings(database=sys.argv[1])
make_server(build_app(settings, open_database(settings.database)), settings).config.load()
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


@pytest.fixture(scope="module")
def loaded(template: Path) -> set[str]:
    """What a server on a file of this version has loaded when it begins to listen."""
    database = f"sqlite:///{template}"
    process = subprocess.run([sys.executable, "-c", START, database], capture_output=True, text=True, check=True)
    return set(process.stdout.split())


@pytest.mark.parametrize("library", FOR_OTHERS)
def test_f69_a_server_on_a_file_does_not_load_what_is_for(loaded: set[str], library: str) -> None:
    assert library not in loaded, FOR_OTHERS[library]
    assert {"fastapi", "uvicorn", "sqlalchemy"} <= loaded


def test_the_names_of_the_migrations_are_the_revisions_that_alembic_finds_in_them() -> None:
    with create_engine("sqlite://").connect() as connection:
        scripts = ScriptDirectory.from_config(migrate._config(connection))
        found = [script.revision for script in scripts.walk_revisions()]
        assert migrate.known_revisions() == found[::-1]
        assert migrate.known_revisions()[-1] == scripts.get_current_head()
