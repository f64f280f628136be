"""Ends the run of a test that does not end.

pytest-timeout raises an exception in the test. The server that the test drives may swallow it, as a server must swallow
errors, or the test's fixtures may then wait for ever. So a while later the whole process ends, and says where it was:
under pytest-xdist a worker, which is replaced, and its test has failed.
"""

import asyncio
import faulthandler
import gc
import os
import threading
from collections.abc import Generator
from contextlib import suppress
from io import StringIO

import pytest

_stderr = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("watchdog_grace", "seconds that a test has to end after its timeout", default="60")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_stderr] = os.dup(2)  # while a test runs, 2 is pytest's own


def pytest_unconfigure(config: pytest.Config) -> None:
    with suppress(OSError):
        os.close(config.stash[_stderr])


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    limit = _timeout(item)
    if not limit:
        return (yield)
    seconds = limit + float(item.config.getini("watchdog_grace"))
    dog = threading.Timer(seconds, _end, (item.nodeid, seconds, item.config.stash[_stderr]))
    dog.daemon = True
    dog.start()
    try:
        return (yield)
    finally:
        dog.cancel()


def _timeout(item: pytest.Item) -> float:
    """As pytest-timeout has it, 0 for none."""
    marker = item.get_closest_marker("timeout")
    if marker is not None:
        return float(marker.args[0] if marker.args else marker.kwargs.get("timeout", 0))
    return float(item.config.getoption("timeout", None) or item.config.getini("timeout") or 0)


def _end(test: str, seconds: float, stderr: int) -> None:
    os.write(stderr, f"\n{test} DID NOT END within {seconds:g} s. Its threads, then its tasks:\n".encode())
    faulthandler.dump_traceback(stderr)
    for task in [found for found in gc.get_objects() if isinstance(found, asyncio.Task)]:
        with suppress(Exception):
            text = StringIO()
            task.print_stack(file=text)
            os.write(stderr, text.getvalue().encode())
    os._exit(1)
