"""How the doubles call the server: HTTP/1.1 by hand, as thin as it goes, so that a thousand journeys cost seconds."""

import asyncio
import contextlib
import json
from dataclasses import dataclass
from typing import Any

from tests.field.network import Network


class Lost(Exception):
    """The connection broke; whether the server has done it, nobody here knows."""


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any

    @property
    def ok(self) -> bool:
        """Success is exactly 200; the carts take 201 for failure."""
        return self.status == 200

    @property
    def code(self) -> str:
        return str(self.body.get("code")) if isinstance(self.body, dict) else ""


class Caller:
    """One device's calls, one after the other, on a connection that is kept while it lasts."""

    def __init__(self, network: Network, address: str, headers: dict[str, str]) -> None:
        self._network = network
        self._address = address
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._turn = asyncio.Lock()
        self.lost = 0  # answers that never came

    async def __call__(self, method: str, path: str, body: object = None, headers: str = "") -> Answer:
        """Make a call. `headers` are further lines. Raises Lost."""
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: shop\r\n{self._headers}{headers}"
        kind = "Content-Type: application/json\r\n" if raw else ""
        request = f"{head}{kind}Content-Length: {len(raw)}\r\n\r\n".encode() + raw
        async with self._turn:
            try:
                if self._connection is None or self._connection[0].at_eof():
                    self.close()
                    self._connection = await self._network.connect(self._address)
                reader, writer = self._connection
                writer.write(request)
                status, fields = await read_head(reader)
                content = await reader.readexactly(int(fields.get("content-length", "0")))
            except BaseException as error:
                self.close()  # what comes on it later would be taken for the next call's answer
                if isinstance(error, OSError | EOFError):
                    self.lost += 1
                    raise Lost(f"{method} {path}") from error
                raise
            if fields.get("connection") == "close":
                self.close()
        return Answer(status, json.loads(content) if "json" in fields.get("content-type", "") else content)

    def close(self) -> None:
        if self._connection is not None:
            self._connection[1].transport.abort()
            self._connection = None


async def read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    """Status and headers, their names in lower case. Raises OSError or EOFError."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    fields: dict[str, str] = {}
    for line in lines[1:]:
        with contextlib.suppress(ValueError):  # the empty ones at the end
            name, value = line.split(": ", 1)
            fields[name.lower()] = value
    return int(lines[0].split(" ", 2)[1]), fields
