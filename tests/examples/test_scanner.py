"""What a cart's calls change is changed once, though a connection dies between the call and its answer."""

from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from duckycart.testing.furnish import BREAD, MILK
from tests.examples.conftest import started_by
from tests.examples.world import SHOPPING, Network, running
from tests.world import Shop


async def quantity(shop: Shop, session_id: int) -> int:
    answer = await shop.http.get(f"/cart-items/session/{session_id}", headers=shop.cart_headers())
    return sum(line["quantity"] for line in answer.json()["items"])


@pytest.mark.parametrize("example", ["cart.py", "cart.mjs"])
async def test_f44_an_example_that_asks_again_takes_one_unit_out(shop: Shop, net: Network, example: str) -> None:
    shopper = await shop.shopper()
    async with running(started_by(example), net.port, shop.keys[1]) as cart:
        await shop.online()
        session_id = await shop.start(shopper)
        await cart.does("show the QR", SHOPPING.format(session_id))
        for number in (1, 2, 3):
            cart.scans(str(MILK))
            await cart.does(f"add {MILK}: {number} in the basket")
        net.lose(2, beginning=b"HTTP/1.1 200")
        cart.scans(f"-{MILK}")
        await cart.does(f"remove -{MILK}: 2 in the basket")
        assert net.to_lose == 0
        cart.scans(f"-{BREAD}")
        await cart.does(f"remove -{BREAD}: Product {BREAD} is not in the basket.")
        assert await quantity(shop, session_id) == 2


@pytest.mark.parametrize(("key", "left"), [("once", 2), (None, 1)], ids=["with a key", "without one"])
async def test_f44_a_library_that_repeats_a_call_by_itself(
    shop: Shop, net: Network, key: str | None, left: int
) -> None:
    """It sends the same bytes on a new connection when the kept one dies. Without a key, that is a second call."""
    async with shop.cart():
        await shop.online()
        session_id = await shop.start(await shop.shopper())
    for _ in range(3):
        await shop.add(session_id)
    headers = shop.cart_headers() | ({} if key is None else {"Idempotency-Key": key})
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{net.port}", trust_env=False) as library:

        async def remove() -> httpx2.Response:
            body = {"sessionID": session_id, "barcode": MILK}
            return await library.request("DELETE", "/cart-items/remove", json=body, headers=headers)

        net.lose(beginning=b"HTTP/1.1 200")
        answer = await _repeating(remove)
    assert answer.status_code == 200
    assert await quantity(shop, session_id) == left


async def _repeating(call: Callable[[], Any]) -> httpx2.Response:
    try:
        return await call()  # type: ignore[no-any-return]
    except httpx2.TransportError:
        return await call()  # type: ignore[no-any-return]
