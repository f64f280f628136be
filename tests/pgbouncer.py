"""A real PgBouncer before a real PostgreSQL, as Debian packages it."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL

from tests.ports import free_port
from tests.postgres import STARTING

MISSING = "NO PGBOUNCER on the PATH: what is behind one is NOT tested"


def find_pgbouncer() -> str:
    """Its path. Where there is none the tests are skipped, aloud; the continuous integration must have it."""
    path = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if path is None and os.environ.get("CI") == "true":
        pytest.fail(MISSING)
    return path or pytest.skip(MISSING)


class PgBouncer:
    """In front of one database; `url` leads through it."""

    def __init__(self, program: str, database: URL, folder: Path) -> None:
        """`folder` is one that everybody may enter: as root the program is run as nobody."""
        self._program = program
        self._database = database
        self._folder = folder
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = database.set(host="127.0.0.1", port=self._port)

    def configure(self, mode: str, size: int, *, round_robin: bool = False) -> None:
        """Also while it runs."""
        password = f" password={self._database.password}" if self._database.password else ""
        file = self._folder / "pgbouncer.ini"
        file.write_text(
            f"[databases]\n{self._database.database} = host={self._database.host} port={self._database.port} "
            f"user={self._database.username}{password} pool_mode={mode}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {self._port}\nunix_socket_dir =\nauth_type = any\n"
            f"default_pool_size = {size}\nmax_client_conn = 200\n"
            f"server_round_robin = {int(round_robin)}\n"
        )
        file.chmod(0o644)
        if self._process is not None:
            self._process.send_signal(signal.SIGHUP)

    def start(self) -> None:
        someone: dict[str, Any] = {"user": "nobody"} if os.geteuid() == 0 else {}  # it refuses to run as root
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, self._folder / "pgbouncer.ini"], stdout=log, stderr=log, cwd="/", **someone
            )
        until = time.monotonic() + STARTING
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self._port)) == 0:
                    return
            assert self._process.poll() is None, (self._folder / "log").read_text()
            assert time.monotonic() < until
            time.sleep(0.02)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(STARTING)


@contextmanager
def some_pgbouncer(database: URL) -> Iterator[PgBouncer]:
    """Not yet started; stopped at the end."""
    program = find_pgbouncer()
    with tempfile.TemporaryDirectory(prefix="duckycart-pgbouncer-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        pooler = PgBouncer(program, database, Path(folder))
        try:
            yield pooler
        finally:
            pooler.stop()
