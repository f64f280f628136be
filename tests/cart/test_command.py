"""The program as people start it: a process of its own."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from typer.testing import CliRunner

from duckycart.cart.command import app
from duckycart.testing.waiting import until
from tests.cart.world import FakeServer, server

RUN = "from duckycart.cart.command import app; app()"
KEY = "k-3f9a77c1"


@asynccontextmanager
async def process(
    shop: FakeServer, *options: str, stdout: int = asyncio.subprocess.PIPE, **variables: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    started = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        RUN,
        "7",
        "--url",
        shop.url,
        "--no-qr",
        *options,
        stdout=stdout,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "DUCKYCART_KEY": KEY, **variables},
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.communicate()


async def line(started: asyncio.subprocess.Process) -> str:
    assert started.stdout is not None
    async with asyncio.timeout(30):
        return (await started.stdout.readline()).decode()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_it_tidily(how: signal.Signals) -> None:
    async with server() as shop, process(shop, "--driver", "lines") as started:
        assert json.loads(await line(started))["event"] == "show_idle"
        assert json.loads(await line(started))["connected"] is True
        link = await shop.cart()
        assert shop.handshakes[0].headers["X-API-Key"] == KEY
        started.send_signal(how)
        output, errors = await started.communicate()
        assert (started.returncode, output, errors) == (0, b"", b"")
        await link.wait_closed()
        assert link.close_code == 1000


async def test_a_signal_between_two_tries_stops_it_too() -> None:
    async with server() as shop:
        pass  # nobody listens there any more
    async with process(shop) as started:
        assert "IDLE" in await line(started)
        assert "nothing listens there" in await line(started)
        started.send_signal(signal.SIGTERM)
        _, errors = await started.communicate()
        assert (started.returncode, errors) == (0, b"")


async def test_it_ends_tidily_when_nobody_reads_its_output() -> None:
    ours, theirs = os.pipe()
    async with server() as shop, process(shop, stdout=theirs) as started:
        os.close(theirs)
        link = await shop.cart()
        os.close(ours)
        await link.send('{"type": "session_started", "data": 5}')
        _, errors = await started.communicate()
        assert (started.returncode, errors) == (0, b"")


def test_help_teaches() -> None:
    output = CliRunner().invoke(app, ["run", "--help"], env={"COLUMNS": "200", "DUCKYCART_KEY": KEY}).output
    for word in ("DUCKYCART_URL", "DUCKYCART_KEY", "terminal", "lines", "--no-qr", "comes back by itself"):
        assert word in output
    assert KEY not in output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["0"], "0 is not in the range 1"),
        (["7", "--url", "shop:8000"], "must look like"),
        (["7", "--key", f"{KEY}\n"], "visible ASCII"),
        (["7", "--driver", "tank"], "there is no driver tank; there are gpio, lines,"),
        (["7", "--driver", "tank:Turret"], "No module named 'tank'"),
        (["7", "--driver", "json:dumps"], "json:dumps is no driver"),
        ([], "Which cart is this?"),
        (["7", "--config", "nowhere.toml"], "nowhere.toml cannot be read: No such file"),
        (["7", "--ca", "nowhere.pem"], "nowhere.pem cannot be used"),
    ],
)
def test_what_cannot_work_is_refused_at_once(arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    assert result.exit_code in (1, 2)
    assert words in result.output
    assert KEY not in result.output


async def test_a_supervisor_hears_that_it_is_ready_that_it_lives_and_that_it_stops(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(tmp_path / "notify"))
        ear.setblocking(False)
        heard: list[bytes] = []

        def hear(wanted: bytes, times: int = 1) -> bool:
            with suppress(BlockingIOError):
                heard.append(ear.recv(100))
            return heard.count(wanted) >= times

        variables = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "100000"}
        async with (
            server() as shop,
            process(shop, "--driver", "lines", stdout=asyncio.subprocess.PIPE, **variables) as started,
        ):
            await until(lambda: hear(b"READY=1"))
            await until(lambda: hear(b"WATCHDOG=1", 3))
            started.send_signal(signal.SIGTERM)
            await until(lambda: hear(b"STOPPING=1"))


async def test_a_supervisor_does_not_hear_that_it_lives_while_a_driver_does_not(tmp_path: Path) -> None:
    (tmp_path / "stuck.py").write_text(
        "from duckycart.cart.driver import Driver\n"
        "class Scale(Driver):\n"
        "    def alive(self):\n"
        "        print('asked', flush=True)\n"
        "        return False\n"
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(tmp_path / "notify"))
        ear.setblocking(False)
        variables = {
            "NOTIFY_SOCKET": str(tmp_path / "notify"),
            "WATCHDOG_USEC": "100000",
            "PYTHONPATH": str(tmp_path),
        }
        async with (
            server() as shop,
            process(shop, "--driver", "stuck:Scale", stdout=asyncio.subprocess.PIPE, **variables) as started,
        ):
            for _ in range(3):
                assert await line(started) == "asked\n"
            assert ear.recv(100) == b"READY=1"
            with pytest.raises(BlockingIOError):
                ear.recv(100)
