"""A server that may have 160 files open, and somebody who opens connections until there are none left (F47)."""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from duckycart.testing.cart import CartConnection
from duckycart.testing.waiting import PATIENCE, until
from tests.process.world import KEY, Served, serving

MANY = 300


@asynccontextmanager
async def few_files(folder: Path, template: Path) -> AsyncIterator[Served]:
    with serving(folder) as served:
        shutil.copy(template, served.database)
        serve = f"-m duckycart serve --port {served.port} --database sqlite:///{served.database}"
        with served.log.open("w") as log:
            process = subprocess.Popen(  # noqa: ASYNC220 - it is there at once
                ["/bin/sh", "-c", f'ulimit -n 160; exec "$0" {serve}', sys.executable],
                env=os.environ | {"DUCKYCART_LEGACY_SCREENS": "127.0.0.0/8", "DUCKYCART_LEGACY_PER_MINUTE": "100000"},
                stdout=log,
                stderr=log,
            )
        try:
            await until(lambda: listening(served, process))
            served.furnish()
            yield served
        finally:
            await served.http.aclose()
            process.kill()
            process.wait()


def listening(served: Served, process: "subprocess.Popen[bytes]") -> bool:
    assert process.poll() is None, served.log.read_text()
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", served.port)) == 0


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"GET /healthz HT", id="half a head"),
        pytest.param(b"GET /sse/1 HTTP/1.1\r\nHost: x\r\n\r\n", id="a stream"),
        pytest.param(b"GET /ws/hardware/1 HTTP/1.1\r\nHost: x\r\n", id="what looks like a cart"),
    ],
)
async def test_f47_a_cart_comes_in_and_the_operator_hears_of_it(tmp_path: Path, template: Path, sent: bytes) -> None:
    async with few_files(tmp_path, template) as served:
        writers = []
        for _ in range(MANY):
            _, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(sent)
            writers.append(writer)
        cart = await CartConnection.open(served.endpoint, "/ws/hardware/1", {"X-API-Key": KEY})
        assert cart.status == 101
        async with asyncio.timeout(PATIENCE):
            answer = await served.http.get("/readyz")
            assert answer.json()["short_of"] == "connections"
        await until(lambda: "too many connections" in served.log.read_text())  # a thread writes it
        said = served.lines()
        assert [line["level"] for line in said if line["event"] == "too many connections"] == ["warning"]
        for writer in writers:
            writer.transport.abort()
        cart.cut()
