"""The server of an earlier commit, checked out into a temporary folder."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from bench.process import free_port, running
from bench.shop import UNLIMITED, Served
from duckycart.testing.furnish import Furnished

COMMIT: Final = "02adc8a"  # before anything was made faster
FURNISH: Final = """
import json, sys
from pathlib import Path
from bench.shop import furnish
from duckycart.api.tokens import AccessToken, Tokens
from duckycart.clock import SystemClock
from duckycart.store.keys import read_or_make_signing_keys
from duckycart.store.sqlite import engine_for, transact

path = Path(sys.argv[1])
keys = furnish(path, int(sys.argv[2]))
tokens = Tokens(transact(engine_for(path), SystemClock(), read_or_make_signing_keys), SystemClock())
print(json.dumps([keys, {i: tokens.access(AccessToken(i, is_operator=False)) for i in keys}]))
"""  # in the words of that commit


@contextmanager
def earlier(carts: int) -> Iterator[Served | None]:
    """The server of COMMIT on a SQLite file of its own; None, said aloud, where that commit cannot be checked out.

    It runs with the libraries that are installed now.
    """
    archive = subprocess.run(["git", "archive", COMMIT], capture_output=True, check=False)
    if archive.returncode:
        print(f"  commit {COMMIT} is left out: this is no checkout that has it", file=sys.stderr)
        yield None
        return
    with TemporaryDirectory() as folder:
        subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
        path = Path(folder) / "bench.db"
        old = {"PYTHONPATH": os.pathsep.join([f"{folder}/src", folder])}  # before the source that is installed
        made = subprocess.run(
            [sys.executable, "-P", "-c", FURNISH, str(path), str(carts)],
            env=os.environ | old,
            capture_output=True,
            check=True,
        )
        keys, tokens = ({int(number): value for number, value in each.items()} for each in json.loads(made.stdout))
        port = free_port()
        variables = UNLIMITED | old | {"DUCKYCART_DATABASE": f"sqlite:///{path}"}
        with running(["-P", "-m", "duckycart", "serve", "--port", str(port)], port, **variables) as pid:
            yield Served(port, pid, Furnished(keys, tokens))
