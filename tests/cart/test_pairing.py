"""`duckycart cart pair`, as a maker types it: the key is in its file, and the server knows it."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from duckycart.admin.fleet import claim_code
from duckycart.keys import hash_of
from duckycart.testing.endpoint import Endpoint
from duckycart.testing.relay import relaying
from tests.api.doors import CODE
from tests.cart.world import cart, server
from tests.world import Shop

pytestmark = pytest.mark.any_store


async def pair(*options: str | Path) -> tuple[int, str]:
    """Exit code, and all that was written."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "duckycart", "cart", "pair"),
        *map(str, options),
        env={name: value for name, value in os.environ.items() if not name.startswith("DUCKYCART_")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


async def issue(shop: Shop) -> None:
    await shop.inside.store.write(lambda tx: claim_code(tx, 1, hash_of(CODE)))


def key_in(file: Path) -> str:
    return file.read_text().strip()


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def opens(shop: Shop, file: Path) -> bool:
    headers = {"X-API-Key": key_in(file)}
    return (await shop.http.get("/customer-session/cart-status/1", headers=headers)).status_code == 200


async def test_the_key_is_in_its_file_and_opens_the_cart(shop: Shop, tmp_path: Path) -> None:
    await issue(shop)
    file = tmp_path / "cart" / "key"
    file.parent.mkdir()
    code, output = await pair("7k3m-q9xd", "--url", shop.url, "--key-file", file)
    assert code == 0, output
    assert await opens(shop, file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert names_in(file.parent) == ["key"]
    assert key_in(file) not in output
    assert f'cart = 1\nurl = "{shop.url}"\nkey_file = "{file}"' in output
    config = tmp_path / "cart.toml"
    config.write_text(output.partition("of these:\n")[2])
    await issue(shop)
    code, output = await pair(CODE, "--config", config)
    assert (code, output) == (0, f"This is cart 1. Its key is in {file}, for its owner alone.\n")
    assert await opens(shop, file)


async def test_a_wrong_code_leaves_the_key_that_was_there(shop: Shop, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("the one before")
    code, output = await pair("ABCDEFGH", "--url", shop.url, "--key-file", file)
    assert (code, output) == (1, "This claim code is none, was used, or is too old; ask the operator for a new one.\n")
    assert key_in(file) == "the one before"


async def test_an_answer_that_is_lost_is_no_code_that_is_lost(shop: Shop, tmp_path: Path) -> None:
    await issue(shop)
    file = tmp_path / "key"
    async with relaying(Endpoint.of(shop.url)) as relay:
        relay.lose(1, beginning=b"HTTP/1.1 200")
        command = (CODE, "--url", f"http://127.0.0.1:{relay.port}", "--key-file", file)
        code, output = await pair(*command)
        assert code == 1
        assert "The same command goes on where this one stopped." in output
        assert not file.exists()
        assert (await pair(*command))[0] == 0
    assert await opens(shop, file)


async def test_what_cannot_work_is_said(tmp_path: Path) -> None:
    file = tmp_path / "key"
    for options, words in (
        (("--url", "http://shop.example:8000"), "Without TLS anybody in the network could read the key"),
        (("--url", "shop"), "the URL must look like"),
        (("--url", "http://127.0.0.1:1"), "cannot be reached: nothing listens there"),
    ):
        code, output = await pair(CODE, *options, "--key-file", file)
        assert code == 1
        assert words in " ".join(output.split())
    code, output = await pair(CODE, "--url", "http://127.0.0.1:1", "--key-file", tmp_path / "no/key")
    assert (code, "cannot be written: No such file or directory" in output) == (1, True)


async def test_a_url_with_https_for_a_server_without_tls_is_said_in_plain_words(tmp_path: Path) -> None:
    async with server() as plain:
        url = plain.url.replace("http:", "https:")
        words = "it closed the connection at once; perhaps the URL must say http instead of https"
        assert words in (await pair(CODE, "--url", url, "--key-file", tmp_path / "key"))[1]
        async with cart(url) as it:
            assert words in (await it.driver.until("connection", False))[2]
