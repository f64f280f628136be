"""What the README shows, run as it stands there against a real server."""

import asyncio
import re
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from duckycart.hardware.ending import Ended
from duckycart.testing.waiting import PATIENCE, until
from tests.world import Shop

README = (Path(__file__).parent.parent / "README.md").read_text()


@asynccontextmanager
async def _client(shop: Shop, *command: str) -> AsyncIterator[Process]:
    """The client as a process of its own, connected."""
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stdin=PIPE)
    try:
        await shop.online()
        yield process
    finally:
        process.kill()
        await process.communicate()


async def _prints_a_qr(shop: Shop, process: Process) -> str:
    """Ask for a QR; the line that the client prints of it."""
    await shop.qr()
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        async for line in process.stdout:
            if b"generate_qr" in line:
                return line.decode().strip()
    raise AssertionError("it ended without printing the command")


def _ten_lines(shop: Shop, key: str) -> str:
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert code is not None
    example = code[1].replace("ws://127.0.0.1:8000/ws/hardware/2", f"ws://127.0.0.1:{shop.port}/ws/hardware/1")
    return example.replace("the key that make demo or carts add printed", key)


@pytest.mark.any_store
async def test_ten_lines_of_python_say_that_they_are_refused_and_try_again(shop: Shop) -> None:
    example = _ten_lines(shop, "not the key")
    process = await asyncio.create_subprocess_exec(sys.executable, "-u", "-c", example, stdout=PIPE)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            for _ in range(2):
                assert b"HTTP 403" in await process.stdout.readline()
        assert process.returncode is None
    finally:
        process.kill()
        await process.communicate()


async def test_ten_lines_of_python_are_a_cart(shop: Shop) -> None:
    example = _ten_lines(shop, shop.keys[1])
    assert len([line for line in example.splitlines() if line.strip()]) <= 10
    async with _client(shop, sys.executable, "-u", "-c", example) as process:
        assert await _prints_a_qr(shop, process) == "generate_qr None"
        connection = shop.inside.dispatch.links.current(1)
        assert connection is not None
        connection.close(Ended.SERVER_STOPPED)
        await until(lambda: shop.inside.dispatch.links.current(1) not in (None, connection))
        assert await _prints_a_qr(shop, process) == "generate_qr None"


async def test_a_websocket_command_line_is_a_cart(shop: Shop) -> None:
    shown = re.search(r'^ +websockets "(ws://.*?)"$', README, re.MULTILINE)
    assert shown is not None
    url = shown[1].replace("127.0.0.1:8000/ws/hardware/2", f"127.0.0.1:{shop.port}/ws/hardware/1")
    url = url.replace("KEY", shop.keys[1])
    async with _client(shop, str(Path(sys.executable).with_name("websockets")), url) as process:
        assert '{"type": "generate_qr", "data": null}' in await _prints_a_qr(shop, process)
