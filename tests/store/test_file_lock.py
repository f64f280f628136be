"""One server per SQLite file."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from duckycart.store.sqlite import FileLock
from duckycart.store.transaction import DatabaseInUse

HOLD = """
import sys
from pathlib import Path
from duckycart.store.sqlite import FileLock
lock = FileLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_the_second_server_is_refused_and_told_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    lock = FileLock(path)
    with pytest.raises(DatabaseInUse) as refusal:
        FileLock(path)
    assert f"(process {os.getpid()})" in str(refusal.value)
    assert str(path) in str(refusal.value)
    lock.release()
    FileLock(path).release()


def test_two_files_are_two_shops(tmp_path: Path) -> None:
    locks = [FileLock(tmp_path / name) for name in ("one.db", "two.db")]
    for lock in locks:
        lock.release()


def test_the_lock_is_gone_with_its_process_however_that_died(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(DatabaseInUse, match=rf"process {holder.pid}\b"):
            FileLock(path)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    FileLock(path).release()
