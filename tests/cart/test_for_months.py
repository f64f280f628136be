"""The program runs for months: what it heard and how often it came back leaves nothing behind."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import pytest

from duckycart.testing.waiting import PATIENCE
from duckycart.wire import Command, CommandType, encode
from tests.cart.world import FakeServer, server

# The real program with the real driver; only nobody sleeps between two tries.
PROGRAM = """
import asyncio, sys
from duckycart.cart.drivers import made
from duckycart.cart.program import CartProgram
from duckycart.cart.setup import Setup
from duckycart.clock import SystemClock
with open("/dev/null", "w") as out:
    drivers = made(["lines"], lambda name: Setup(7, out, SystemClock()))
    program = CartProgram(7, sys.argv[1], drivers, ask_for_qr=False, sleep=lambda _: asyncio.sleep(0))
    asyncio.run(program.run())
"""
SESSIONS, COMMANDS = 25_000, (
    CommandType.GENERATE_QR,
    CommandType.SESSION_STARTED,
    CommandType.PAYMENT_CREATED,
    CommandType.END_SESSION,
)  # fmt: skip
RECONNECTS = 10_000
MAY_GROW = 1024  # KiB, of caches and of the allocator


def memory_kib(process: Process) -> int:
    lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


async def shops(shop: FakeServer, first: int, sessions: int) -> None:
    link = await shop.cart()
    for session_id in range(first, first + sessions):
        for kind in COMMANDS:
            data = None if kind is CommandType.GENERATE_QR else session_id
            await link.send(encode(Command(kind, data)), text=True)
        if session_id % 50 == 0:  # everything was heard
            async with asyncio.timeout(PATIENCE):
                await (await link.ping())
    await link.close()


async def comes_back(shop: FakeServer, times: int) -> None:
    for _ in range(times):
        await (await shop.cart()).close()


@pytest.mark.proof
@pytest.mark.timeout(600)
async def test_100_000_commands_and_10_000_reconnects_leave_nothing_in_memory() -> None:
    async with server() as shop:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROGRAM, shop.url, stdin=asyncio.subprocess.DEVNULL, stdout=PIPE
        )
        try:
            await shops(shop, 1, SESSIONS // 5)
            await comes_back(shop, RECONNECTS // 5)
            before = memory_kib(process)
            for part in range(1, 5):
                await shops(shop, 1 + part * SESSIONS // 5, SESSIONS // 5)
                await comes_back(shop, RECONNECTS // 5)
                shop.calls.clear()
                shop.handshakes.clear()
            after = memory_kib(process)
        finally:
            process.terminate()
            await process.communicate()
    assert after - before <= MAY_GROW
