"""F69: a listening socket that is handed over, by systemd's contract or as a descriptor, and what is told back."""

import asyncio
import os
import shutil
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from typer.testing import CliRunner

from duckycart import cli
from duckycart.inherited import NotListening, from_systemd
from duckycart.notify import notify, watchdog_seconds
from duckycart.server import listener
from duckycart.testing.waiting import PATIENCE, until
from tests.ports import free_port
from tests.process.world import Served

ACTIVATE = shutil.which("systemd-socket-activate")


@pytest.mark.parametrize(
    ("environment", "descriptors"),
    [
        ({}, []),
        ({"LISTEN_PID": "7", "LISTEN_FDS": "1"}, [3]),
        ({"LISTEN_PID": "7", "LISTEN_FDS": "3", "LISTEN_FDNAMES": "shop:shop:plain"}, [3, 4, 5]),
        ({"LISTEN_PID": "7", "LISTEN_FDS": "0"}, []),
        ({"LISTEN_PID": "8", "LISTEN_FDS": "1"}, []),
        ({"LISTEN_PID": "7"}, []),
    ],
    ids=["nothing", "one", "three", "none of them", "for another process", "no number"],
)
def test_f69_systemds_descriptors_are_for_the_process_that_it_names(
    environment: dict[str, str], descriptors: list[int]
) -> None:
    environment["PATH"] = "/bin"
    assert from_systemd(environment, 7) == descriptors
    assert environment == {"PATH": "/bin"}, "no child may take them for its own"


@pytest.mark.parametrize("variables", [("x", "1"), ("7", "x"), ("", "1")])
def test_f69_malformed_variables_are_refused_with_a_sentence(variables: tuple[str, str]) -> None:
    with pytest.raises(NotListening, match="must be numbers"):
        from_systemd(dict(zip(("LISTEN_PID", "LISTEN_FDS"), variables, strict=True)), 7)


def no_listeners(folder: Path) -> Iterator[tuple[str, int]]:
    """Descriptors of all kinds but the right one."""
    yield "closed", 999
    with (folder / "file").open("w") as file:
        yield "a file", os.dup(file.fileno())
    with socket.socket() as silent:
        yield "not listening", os.dup(silent.fileno())
    with socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        yield "datagrams", os.dup(datagrams.fileno())
    with socket.socket(socket.AF_UNIX) as local:
        local.bind(str(folder / "socket"))
        local.listen()
        yield "not TCP", os.dup(local.fileno())


def test_f69_what_is_no_tcp_listener_is_refused_with_a_sentence(tmp_path: Path) -> None:
    for kind, descriptor in no_listeners(tmp_path):
        answer = CliRunner().invoke(cli.app, ["serve", "--fd", str(descriptor)])
        assert answer.exit_code == 1, kind
        assert answer.stderr.startswith(f"File descriptor {descriptor} is no "), kind
        assert answer.stderr.endswith(".\n"), kind


async def test_f69_the_sandbox_does_not_go_public_through_a_socket_that_was_handed_over(served: Served) -> None:
    served.held = listener(("0.0.0.0", 0))
    served.run("serve", "--database", f"sqlite:///{served.database}")
    assert await served.ended() == 1
    assert "does not listen on 0.0.0.0 unasked" in served.log.read_text()


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """What NOTIFY_SOCKET names."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(tmp_path / "notify"))
        ear.settimeout(PATIENCE)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield ear


def test_what_is_notified_is_heard(systemd: socket.socket) -> None:
    notify("READY=1", "STATUS=well")
    assert systemd.recv(100) == b"READY=1\nSTATUS=well"


def test_in_the_abstract_namespace_too(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"duckycart-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind("\0" + name)
        ear.settimeout(PATIENCE)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name)
        notify("READY=1")
        assert ear.recv(100) == b"READY=1"


def test_nobody_who_listens_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    notify("READY=1")


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "20000000"}, 10.0),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": str(os.getpid())}, 10.0),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_told_twice_in_its_time(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], seconds: float | None
) -> None:
    for name in ("WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert watchdog_seconds() == seconds


async def said(ear: socket.socket) -> str:
    return (await asyncio.to_thread(ear.recv, 1000)).decode()


async def test_f69_systemds_own_program_hands_over_its_sockets_and_is_told_of_start_and_stop(
    served: Served, systemd: socket.socket
) -> None:
    """systemd-socket-activate opens the sockets and, when the first connection comes, becomes the server."""
    if ACTIVATE is None:
        pytest.skip("systemd-socket-activate is not installed: its contract was tested without it.")
    served.furnish()
    ports = [served.port, free_port()]
    listening = [argument for port in ports for argument in ("-l", f"127.0.0.1:{port}")]
    passed = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "DUCKYCART_DATABASE", "PYTHONPATH"]
    environment = {
        **os.environ,
        "WATCHDOG_USEC": "100000",
        "DUCKYCART_DATABASE": f"sqlite:///{served.database}",
        "PYTHONPATH": os.pathsep.join(sys.path),
        "DUCKYCART_PORT": "1",  # nobody asks
    }
    command = [ACTIVATE, *listening, "--fdname=shop:shop", *(f"-E{name}" for name in passed)]
    with served.log.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command, sys.executable, "-m", "duckycart", "serve", env=environment, stderr=log
        )
    try:
        await until(lambda: served.log.read_bytes())  # "Listening on …"
        for port in ports:
            async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE, trust_env=False) as it:
                assert (await it.get("/readyz")).status_code == 200, served.log.read_text()
        assert await said(systemd) == "READY=1"
        assert await said(systemd) == "WATCHDOG=1"
        process.send_signal(signal.SIGTERM)
        while (last := await said(systemd)) != "STOPPING=1":
            assert last == "WATCHDOG=1"
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    (starting,) = [line for line in served.log.read_text().splitlines() if '"starting"' in line]
    assert f"http://127.0.0.1:{ports[0]}" in starting
