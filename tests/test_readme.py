"""What the README shows, run as it stands there against a real server."""

import asyncio
import re
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

from tests.world import PATIENCE, Shop

README = (Path(__file__).parent.parent / "README.md").read_text()


async def _first_line(shop: Shop, *command: str) -> str:
    """Start a client, ask for a QR once it is connected, and return the first line that it prints of it."""
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stdin=PIPE)
    assert process.stdout is not None
    try:
        await shop.online()
        await shop.qr()
        async with asyncio.timeout(PATIENCE):
            async for line in process.stdout:
                if b"generate_qr" in line:
                    return line.decode().strip()
        raise AssertionError("it ended without printing the command")
    finally:
        process.kill()
        await process.communicate()


async def test_ten_lines_of_python_are_a_cart(shop: Shop) -> None:
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert code is not None
    example = code[1].replace("ws://127.0.0.1:8000", f"ws://127.0.0.1:{shop.port}")
    example = example.replace("the key that carts add printed", shop.keys[1])
    assert len([line for line in example.splitlines() if line.strip()]) <= 10
    assert await _first_line(shop, sys.executable, "-u", "-c", example) == "generate_qr None"


async def test_a_websocket_command_line_is_a_cart(shop: Shop) -> None:
    shown = re.search(r'^ +websockets "(ws://.*?)"$', README, re.MULTILINE)
    assert shown is not None
    url = shown[1].replace("127.0.0.1:8000", f"127.0.0.1:{shop.port}").replace("KEY", shop.keys[1])
    line = await _first_line(shop, str(Path(sys.executable).with_name("websockets")), url)
    assert '{"type": "generate_qr", "data": null}' in line
