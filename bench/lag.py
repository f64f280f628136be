"""How late the turns of a server's event loop come, whatever runs in it."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import URL

from bench.shop import Served, serving
from duckycart.testing.furnish import Furnished

PATIENCE = 30.0  # seconds until the server has written


class Lag:
    """Reads what a server that is watched (bench/watched.py) has noted."""

    def __init__(self, pid: int, file: Path) -> None:
        self._pid = pid
        self._file = file
        self._read = 0  # lines

    def read(self) -> list[float]:
        """Seconds that each turn came late since the last look, one turn every 2 ms."""
        os.kill(self._pid, signal.SIGUSR2)
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            lines = self._file.read_text().splitlines(keepends=True) if self._file.exists() else []
            if len(lines) > self._read and lines[-1].endswith("\n"):
                self._read = len(lines)
                return [float(word) for word in lines[-1].split()]
            time.sleep(0.01)
        raise SystemExit("the server does not say how late its turns came")

    def forget(self) -> None:
        self.read()


@contextmanager
def watched(place: Path | URL, shop: Furnished) -> Iterator[tuple[Served, Lag]]:
    """A server on the database whose event loop is watched."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "lag"
        with serving(place, shop, "bench.watched", BENCH_LAG=str(file)) as server:
            yield server, Lag(server.pid, file)
