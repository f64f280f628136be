"""Real NATS servers for the tests, from a wheel."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.ports import free_port

PROGRAM = Path(sys.executable).with_name("nats-server")
STARTING = 20.0  # seconds


class NatsServer:
    """One that can be stopped, killed and started again on the same port."""

    def __init__(self, *arguments: str, login: str = "", scheme: str = "nats", log: Path | None = None) -> None:
        self.port = free_port()
        self.url = f"{scheme}://{login}127.0.0.1:{self.port}"
        self._arguments = arguments
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command: list[str | Path] = [PROGRAM, "--addr", "127.0.0.1", "--port", str(self.port), *self._arguments]
        output = subprocess.DEVNULL if self._log is None else self._log.open("ab")
        self._process = subprocess.Popen(command, stdout=output, stderr=output)
        until = time.monotonic() + STARTING
        with socket.socket() as probe:
            while probe.connect_ex(("127.0.0.1", self.port)) != 0:
                assert self._process.poll() is None, "NATS does not start"
                assert time.monotonic() < until, "NATS does not answer"
                time.sleep(0.01)

    def send(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self, how: int = signal.SIGKILL) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(STARTING)
            self._process = None


@contextmanager
def nats_server(*arguments: str, login: str = "", scheme: str = "nats") -> Iterator[NatsServer]:
    server = NatsServer(*arguments, login=login, scheme=scheme)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@contextmanager
def nats_cluster(size: int = 3) -> Iterator[list[NatsServer]]:
    """Servers that know each other: what is said to one is heard at all."""
    ports = [free_port() for _ in range(size)]
    routes = ",".join(f"nats://127.0.0.1:{port}" for port in ports)
    servers = [
        NatsServer("--cluster_name", "tests", "--cluster", f"nats://127.0.0.1:{port}", "--routes", routes)
        for port in ports
    ]
    try:
        for server in servers:
            server.start()
        yield servers
    finally:
        for server in servers:
            server.stop()
