"""`duckycart demo`, as somebody sees it for the first time."""

import asyncio
import json
import os
import re
import signal
import socket
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from pathlib import Path

import httpx2
import pytest

from duckycart.demo.run import DemoFailed, _Demo
from duckycart.demo.transcript import Transcript
from duckycart.own_address import own_address
from duckycart.testing.waiting import PATIENCE


async def _start(*arguments: str, port: int = 0) -> Process:
    command = (sys.executable, "-m", "duckycart", "demo", "--port", str(port), *arguments)
    return await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=STDOUT)


async def test_the_demo_shows_a_whole_session_and_says_so_with_its_exit_code() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = await _start("--once", port=port)
        async with asyncio.timeout(PATIENCE * 3):
            out, _ = await process.communicate()
    lines = out.decode().splitlines()
    assert process.returncode == 0, out.decode()
    story = [
        f"port {port} is taken by another program, so this one is on ",
        "scans the QR and goes on as a guest",
        'received  {"type": "session_started", "data": 1}',
        "put Full cream milk into the cart, 42.50 EGP",
        "3 in the basket, 147.45 EGP",
        "wants to pay 147.45 EGP",
        'received  {"type": "payment_created", "data": 1}',
        "presses Pay on the provider's page",
        'received  {"type": "end_session", "data": 1}',
    ]
    # Three processes tell it, so what happens at one moment may be told in any order.
    assert [step for step in story if not any(step in line for line in lines)] == []


async def test_the_shop_stays_open_to_be_shopped_in_by_hand_and_closes_with_all_that_runs_in_it() -> None:
    process = await _start()
    assert process.stdout is not None
    printed = ""
    async with asyncio.timeout(PATIENCE * 3):
        async for line in process.stdout:
            printed += line.decode()
            if b"make demo LAN=1" in line:
                break
    (key, cart, url), *_ = re.findall(r"DUCKYCART_KEY=(\S+) \S+/duckycart cart (\d+) --url (\S+)", printed)
    assert f"cart {cart} {key}" in printed
    barcodes = re.findall(r" (6\d{12})  \w", printed)
    assert len(barcodes) == 3
    command = (sys.executable, "-m", "duckycart", "cart", cart, "--url", url)
    by_hand = await asyncio.create_subprocess_exec(
        *command, stdin=PIPE, stdout=PIPE, env=os.environ | {"DUCKYCART_KEY": key}
    )
    assert by_hand.stdout is not None
    assert by_hand.stdin is not None

    async def shows(words: str) -> str:
        assert by_hand.stdout is not None
        async with asyncio.timeout(PATIENCE):
            async for shown in by_hand.stdout:
                if words in shown.decode():
                    return shown.decode().strip()
        raise AssertionError(f"never: {words}")

    try:
        token = await shows("/s/")
        async with httpx2.AsyncClient(base_url=url, timeout=PATIENCE) as http:
            for page in ("/", "/docs", "/screen/1"):
                assert (await http.get(page)).status_code == 200
            guest = (await http.post("/auth/guest", json={"token": token})).json()
            shopper = {"Authorization": f"Bearer {guest['access_token']}"}
            assert (await http.post("/customer-session/scan-qr", headers=shopper, json={"token": token})).is_success
            await shows("SHOP")
            for barcode in barcodes:
                by_hand.stdin.write(f"{barcode}\n".encode())
            await shows("147.45 EGP")
    finally:
        by_hand.kill()
        await by_hand.communicate()
        process.send_signal(signal.SIGTERM)
        rest = await process.stdout.read()  # ends only when nobody holds the pipe any more
    assert await process.wait() == 0, rest.decode()
    assert b"cart disconnected" in rest


async def test_phones_of_the_network_are_let_in_where_there_is_a_network() -> None:
    process = await _start("--once", "--lan")
    async with asyncio.timeout(PATIENCE * 3):
        out, _ = await process.communicate()
    address = own_address()
    if address is None:
        assert b"This machine has no network that a phone could be in" in out
        assert process.returncode == 1
    else:
        assert f"server ready at http://{address}:" in out.decode()
        assert process.returncode == 0


def _log(seq: int, state: str) -> str:
    return json.dumps({"event": f"command {state}", "seq": seq, "type": "generate_qr", "session": None})


async def test_the_demos_shopper_scans_no_qr_before_the_cart_heard_of_it(tmp_path: Path) -> None:
    """A QR that is scanned in the moment before a link's first frame makes its `generate_qr` void."""
    demo = _Demo(tmp_path, "127.0.0.1", 1)
    heard: list[bool] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        heard.append("received" in demo._transcript.commands.get(1, []))
        return httpx2.Response(503)

    demo._cart_line(json.dumps({"event": "show_qr", "url": "http://shop/s/token"}))
    asyncio.get_running_loop().call_later(0.05, demo._transcript.server_line, _log(1, "received"))
    async with httpx2.AsyncClient(base_url=demo.url, transport=httpx2.MockTransport(answer)) as http:
        with pytest.raises(DemoFailed, match="503"):
            await demo.shop(http)
    assert heard == [True]


@pytest.mark.parametrize("states", [["queued"], ["queued", "sent", "sent", "received"], ["queued", "superseded"]])
def test_the_demo_fails_when_a_command_goes_another_way(tmp_path: Path, states: list[str]) -> None:
    demo = _Demo(tmp_path, "127.0.0.1", 1)
    for seq in (1, 2, 3, 4):
        for state in states if seq == 3 else ["queued", "sent", "received"]:
            demo._transcript.server_line(_log(seq, state))
    with pytest.raises(DemoFailed, match="Command 3"):
        demo.judge()


def test_the_demo_fails_when_the_server_logs_an_error(tmp_path: Path) -> None:
    demo = _Demo(tmp_path, "127.0.0.1", 1)
    transcript: Transcript = demo._transcript
    for seq in (1, 2, 3, 4):
        for state in ("queued", "sent", "received"):
            transcript.server_line(_log(seq, state))
    demo.judge()
    transcript.server_line(json.dumps({"event": "group failed", "level": "error"}))
    with pytest.raises(DemoFailed, match="group failed"):
        demo.judge()
