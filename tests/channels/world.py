"""Screens and phones, as the server meets them."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from duckycart.testing.waiting import PATIENCE, until
from tests.world import Shop

Event = tuple[str | None, dict[str, Any]]  # its id, its data


def message(kind: str, data: Any = 0) -> dict[str, Any]:
    return {"type": kind, "data": data}


class Screen:
    """A socket of a session."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def hears(self) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE):
            heard: dict[str, Any] = json.loads(await self.connection.recv())
        return heard

    async def code(self) -> int | None:
        """The code that the server closes with."""
        async with asyncio.timeout(PATIENCE):
            await self.connection.wait_closed()
        return self.connection.close_code


@asynccontextmanager
async def screen(
    shop: Shop, session_id: object, headers: dict[str, str] | None = None, query: str = ""
) -> AsyncIterator[Screen]:
    async with connect(
        f"ws://127.0.0.1:{shop.port}/ws/{session_id}{query}",
        additional_headers=headers,
        ping_interval=None,
        proxy=None,
        close_timeout=1,
    ) as connection:
        yield Screen(connection)


async def refusal(
    shop: Shop, session_id: object, headers: dict[str, str] | None = None, query: str = ""
) -> tuple[int, str]:
    """The status and code with which the socket is refused before the upgrade."""
    try:
        async with screen(shop, session_id, headers, query):
            return 101, ""
    except InvalidStatus as refused:
        return refused.response.status_code, json.loads(refused.response.body or b"{}")["code"]


class Stream:
    """Server-sent events, as a browser takes them apart."""

    def __init__(self, answer: httpx2.Response) -> None:
        self.answer = answer
        self.comments = 0
        self._lines = answer.aiter_lines()

    async def event(self) -> Event | None:
        """The next one; None when the stream has ended."""
        async with asyncio.timeout(PATIENCE):
            return await self._event()

    async def _event(self) -> Event | None:
        number, data = None, None
        async for line in self._lines:
            if line == "" and data is not None:
                return number, json.loads(data)
            name, _, value = line.partition(": ")
            match name:
                case "id":
                    number = value
                case "data":
                    data = value
                case _ if line.startswith(":"):
                    self.comments += 1
                    if self.comments > 1:  # the first says hello
                        return None, {}
        return None


@asynccontextmanager
async def stream(shop: Shop, path: str, headers: dict[str, str] | None = None) -> AsyncIterator[Stream]:
    async with shop.http.stream("GET", path, headers=headers) as answer:
        if answer.status_code != 200:
            await answer.aread()
        yield Stream(answer)


async def deaf(shop: Shop, path: str, headers: dict[str, str]) -> asyncio.StreamWriter:
    """A socket that is open and never reads; abort its transport at the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", shop.port, limit=1024)
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    lines = {"Host": "shop", **upgrade, "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==", **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    writer.write(f"GET {path} HTTP/1.1\r\n{head}\r\n".encode())
    assert (await reader.readline()).startswith(b"HTTP/1.1 101")
    return writer


async def listeners(shop: Shop, number: int) -> None:
    """Until so many listen."""
    await until(lambda: len(shop.inside.channels) == number)


async def post(shop: Shop, path: str, cart_id: int = 1, method: str = "POST", **body: Any) -> httpx2.Response:
    """A call of the cart."""
    return await shop.http.request(method, path, json=body, headers=shop.cart_headers(cart_id))


async def warn(shop: Shop, session_id: int, text: str) -> httpx2.Response:
    return await post(shop, "/fraud-warnings/", session_id=session_id, type_of_warning=text)


async def end(shop: Shop, session_id: int, shopper: dict[str, str]) -> None:
    answer = await shop.http.post(f"/customer-session/{session_id}/end", headers=shopper)
    assert answer.status_code == 200, answer.text


async def pay(shop: Shop, session_id: int, shopper: dict[str, str]) -> None:
    """A session of one milk, paid."""
    await shop.add(session_id)
    await shop.press((await shop.create_payment(session_id, shopper)).json()["payment_url"])
