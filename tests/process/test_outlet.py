"""What becomes of the thread that writes, when the process ends."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from duckycart import outlet
from duckycart.outlet import Outlet
from duckycart.testing.waiting import PATIENCE


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """The end that is read, and the end that is written."""
    ours, theirs = os.pipe()
    yield ours, theirs
    os.close(ours)
    os.close(theirs)


@contextmanager
def writing_to(descriptor: int) -> Iterator[Outlet]:
    with os.fdopen(os.dup(descriptor), "w") as stream:
        yield Outlet(stream, lambda count: f"{count} lost\n")


def test_at_the_end_all_is_written_and_the_thread_is_over(pipe: tuple[int, int]) -> None:
    """Else Python ends it while it holds the lock, now and then, and waits for that lock for ever."""
    ours, theirs = pipe
    with writing_to(theirs) as out:
        out.write("one\ntwo\nhalf a")
        out.end()
        assert os.read(ours, 100) == b"one\ntwo\nhalf a"
        assert not out._thread.is_alive()
        out.write("nobody hears this\n")
        out.flush()
        out.end()


def test_the_end_does_not_wait_for_ever_for_a_reader(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlet, "CLOSE_SECONDS", 0.05)
    ours, theirs = pipe
    with writing_to(theirs) as out:
        line = "x" * 1_000_000 + "\n"  # more than a pipe takes
        out.write(line)
        out.end()
        assert out._thread.is_alive()  # it stands in its write, and holds nothing
        out.flush()
        left = len(line)
        while left:
            left -= len(os.read(ours, 65_536))
        out._thread.join(PATIENCE)
        assert not out._thread.is_alive()
