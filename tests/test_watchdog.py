"""A test that does not end ends all the same, with its name and where it was."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

SWALLOWED = """
import time

def test_whose_server_swallows_what_is_raised():
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass
"""
WAITING_FIXTURE = """
import asyncio
import pytest

@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.fixture
async def server():
    yield
    await asyncio.Event().wait()

async def test_whose_fixture_never_stops(server):
    await asyncio.sleep(60)
"""


@pytest.mark.parametrize(
    ("content", "where"),
    [(SWALLOWED, "test_whose_server_swallows_what_is_raised"), (WAITING_FIXTURE, "asyncio")],
)
@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_test_that_hangs_is_ended_and_named(tmp_path: Path, content: str, where: str, workers: str) -> None:
    file = tmp_path / "test_hanging.py"
    file.write_text(content + "\ndef test_that_comes_after_it():\n    pass\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\nanyio_mode = auto\n")
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.watchdog", "-p", "no:cacheprovider", "-n", workers,
         "-o", "timeout=1", "-o", "watchdog_grace=1", file],
        cwd=ROOT, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert ended.returncode != 0
    assert "DID NOT END within 2 s" in ended.stderr
    assert "test_hanging.py::test_whose" in ended.stderr
    assert where in ended.stderr
    if workers == "1":  # the others go on in another worker
        assert any(f"{reported} failed, 1 passed" in ended.stdout for reported in (1, 2))  # its time-out, its worker
