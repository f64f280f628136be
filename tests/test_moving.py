"""docs/moving-a-shop.md: every line of it that a machine reads is read by one."""

import asyncio
import json
import re
import subprocess
import sys
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path

import pytest
from typer.testing import CliRunner
from websockets.asyncio.client import connect

from duckycart import cli
from duckycart.settings import Settings
from duckycart.testing.furnish import MILK
from duckycart.testing.waiting import until
from tests.channels.world import screen, stream
from tests.conftest import OpenShop

PAGE = (Path(__file__).parent.parent / "docs" / "moving-a-shop.md").read_text()
ENVIRONMENT, START = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
(HANDLER,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
SETTINGS = dict(line.split("=", 1) for line in ENVIRONMENT.splitlines())
COMMANDS = [line.split("#")[0].split() for line in re.findall(r"^    (duckycart .*)$", PAGE, re.MULTILINE)]
PUBLIC = "wss://shop.example.com:8000"


def address(port: int, key: str) -> str:
    """What the start script of cart 1 hands to the cart's program."""
    script = START.replace("exec python3 cart.py", "echo").replace("the-key-of-cart-7", key).replace("/7?", "/1?")
    ran = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    return ran.stdout.strip().replace(PUBLIC, f"ws://127.0.0.1:{port}")


def test_the_settings_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert settings.url == "https://shop.example.com:8000"
    assert settings.legacy_screens == settings.plain_carts
    assert settings.cors_origins == ("http://screens.example.com",)
    named = {name.lower() for name in re.findall(r"DUCKYCART_([A-Z_]+)", PAGE)}
    assert named <= set(Settings.model_fields)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_exists(command: list[str]) -> None:
    words = [word for word in command[1:3] if word.isalpha()]
    options = [word for word in command if word.startswith("--")]
    answer = CliRunner().invoke(cli.app, [*words, "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert answer.exit_code == 0
    assert all(option in answer.stdout for option in options), command


async def test_a_cart_that_is_started_so_hears_its_session_in_data_and_after_a_restart_again(opening: OpenShop) -> None:
    async with opening() as shop:
        await shop.furnish()
        shopper = await shop.shopper()
        heard: list[int] = []
        for _ in range(2):
            async with connect(address(shop.port, shop.keys[1]), proxy=None) as cart:
                await shop.online()
                if not heard:
                    session_id = await shop.start(shopper)
                    assert json.loads(await cart.recv())["type"] == "generate_qr"
                names = {"message": json.loads(await cart.recv())}
                assert (names["message"]["type"], set(names["message"])) == ("session_started", {"type", "data"})
                exec(HANDLER, names)
                heard.append(names["session"])
                await shop.settled()
            await shop.offline()
        assert heard == [session_id, session_id]


async def test_a_cart_without_a_key_in_its_url_needs_one_for_its_calls_all_the_same(opening: OpenShop) -> None:
    async with opening(keyless_carts="127.0.0.0/8") as shop:
        await shop.furnish()
        async with connect(f"ws://127.0.0.1:{shop.port}/ws/hardware/1", proxy=None):
            await shop.online()
            body = {"sessionID": 1, "barcode": MILK}
            assert (await shop.http.post("/cart-items/add", json=body)).status_code == 401


async def test_screens_of_the_network_and_of_the_pages_origin_are_served_and_others_are_not(opening: OpenShop) -> None:
    origin = SETTINGS["DUCKYCART_CORS_ORIGINS"]
    async with opening(offline_carts="accept", legacy_screens="127.0.0.0/8", cors_origins=origin) as shop:
        await shop.furnish()
        for page, allowed in ((origin, True), ("http://elsewhere.example", False)):
            headers = {"Origin": page}
            asked = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
            preflight = await shop.http.options("/customer-session/qr/1", headers=headers | asked)
            assert (preflight.headers.get("access-control-allow-origin") == page) is allowed
            assert ((await shop.http.get("/customer-session/qr/1", headers=headers)).status_code == 200) is allowed
        session_id = await shop.start(await shop.shopper())
        async with stream(shop, "/sse/1", {"Origin": origin}) as it:
            assert (await it.event() or ("", {}))[1]["session_id"] == session_id
        async with screen(shop, session_id, {"Origin": origin}) as its:
            assert (await its.hears())["type"] == "cart-updated"


async def test_the_command_line_takes_the_place_of_a_cart(opening: OpenShop) -> None:
    (shown,) = re.findall(r'^    websockets "(.*)"$', PAGE, re.MULTILINE)
    async with opening() as shop:
        await shop.furnish()
        url = shown.replace(PUBLIC, f"ws://127.0.0.1:{shop.port}").replace("/7?", "/1?").replace("KEY", shop.keys[1])
        async with shop.cart() as cart:
            await shop.online()
            program = str(Path(sys.executable).with_name("websockets"))
            process = await asyncio.create_subprocess_exec(program, url, stdin=PIPE, stdout=DEVNULL, stderr=DEVNULL)
            try:
                await until(lambda: cart.close_code is not None)
                assert cart.close_code == 4409
            finally:
                process.kill()
                await process.communicate()
