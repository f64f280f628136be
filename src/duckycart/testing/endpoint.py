"""An endpoint is where a server, or a relay in front of one, is to be found."""

import asyncio
import ssl
from dataclasses import dataclass, replace
from typing import Self
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A port that the doubles connect to."""

    port: int
    host: str = "127.0.0.1"
    tls: ssl.SSLContext | None = None  # None: plain text
    local: str | None = None  # the address that is connected from; every one of 127.0.0.0/8 will do on Linux

    @classmethod
    def of(cls, url: str, tls: ssl.SSLContext | None = None) -> Self:
        """Return the endpoint of an `http`, `https`, `ws` or `wss` URL. The path is not looked at.

        `tls` says whom to believe behind `https` and `wss`; without it, those whom this machine believes.
        """
        parts = urlsplit(url)
        secure = parts.scheme in ("https", "wss")
        port = parts.port or (443 if secure else 80)
        return cls(port, parts.hostname or "127.0.0.1", (tls or ssl.create_default_context()) if secure else None)

    def called_from(self, address: str) -> "Endpoint":
        """Return an endpoint on the same port that is connected to from this address: so a server takes each double for
        a machine of its own."""
        return replace(self, local=address)

    @property
    def local_address(self) -> tuple[str, int] | None:
        """The address and port to connect from, as asyncio wants them; None if any will do."""
        return None if self.local is None else (self.local, 0)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a connection. Raises OSError."""
        return await asyncio.open_connection(self.host, self.port, ssl=self.tls, local_addr=self.local_address)
