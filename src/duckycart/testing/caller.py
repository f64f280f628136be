"""A caller calls as a cart, a screen or a phone does: HTTP/1.1 by hand, so thin that thousands cost little."""

import asyncio
import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from duckycart.testing.endpoint import Endpoint


class Lost(Exception):
    """The connection broke; whether the server has done what was asked, nobody on this side knows."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered to one call."""

    status: int
    body: Any  # what the JSON says, or the bytes of anything else

    @property
    def ok(self) -> bool:
        """Whether the answer is a success, which is exactly 200: carts in the field take 201 for a failure."""
        return self.status == 200

    @property
    def code(self) -> str:
        """The code of a refusal; empty if there is none."""
        return str(self.body.get("code")) if isinstance(self.body, dict) else ""


class Caller:
    """The calls of one device, one after the other, on a connection that is kept while it lasts."""

    def __init__(self, endpoint: Endpoint, headers: Mapping[str, str]) -> None:
        """Make a caller with no connection yet; `headers` go with every call."""
        self._endpoint = endpoint
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._turn = asyncio.Lock()
        self.lost = 0  # answers that never came

    @classmethod
    def cart(cls, endpoint: Endpoint, key: str) -> "Caller":
        """Make the caller of a cart, which shows its key."""
        return cls(endpoint, {"X-API-Key": key})

    @classmethod
    def bearer(cls, endpoint: Endpoint, token: str) -> "Caller":
        """Make the caller of a phone with the token of its shopper, or of a screen with that of its session."""
        return cls(endpoint, {"Authorization": f"Bearer {token}"})

    async def __call__(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Make a call; `body` becomes JSON unless it is bytes. Raises Lost when the connection ends before the answer.

        A broken connection is replaced at the next call, and no call is repeated. There is no limit of time: put
        `asyncio.timeout` around a call that may never be answered. Answers must have a Content-Length, so streams
        cannot be read.
        """
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        more = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        kind = "Content-Type: application/json\r\n" if raw else ""
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._endpoint.host}:{self._endpoint.port}\r\n{self._headers}{more}"
        request = f"{head}{kind}Content-Length: {len(raw)}\r\n\r\n".encode() + raw
        async with self._turn:
            try:
                if self._connection is None or self._connection[0].at_eof():
                    self.close()
                    self._connection = await self._endpoint.connect()
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
        """Let the connection go, if there is one."""
        if self._connection is not None:
            self._connection[1].transport.abort()
            self._connection = None


async def read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    """Read the status and the headers of an answer, their names in lower case. Raises OSError or EOFError."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    fields: dict[str, str] = {}
    for line in lines[1:]:
        with contextlib.suppress(ValueError):  # the empty ones at the end
            name, value = line.split(": ", 1)
            fields[name.lower()] = value
    return int(lines[0].split(" ", 2)[1]), fields
