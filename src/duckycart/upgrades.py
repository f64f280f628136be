"""uvicorn's HTTP is made to treat `Upgrade` as RFC 9110, 7.8 and RFC 6455 say."""

from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from duckycart.handshake import flaw, origin_form

_OURS: Final = (b"connection", b"upgrade")


class _Parser:
    """httptools' parser takes what comes behind the head of any upgrade for another protocol's. Behind an upgrade that
    is ignored comes the request's body: so that head is read once more, without it."""

    def __init__(self, http: "UpgradingHttp") -> None:
        self._http = http
        self._begin()

    def _begin(self) -> None:
        self._parser = httptools.HttpRequestParser(self._http)
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)

    def feed_data(self, data: bytes) -> None:
        """Parse what belongs to one request. Raises as httptools does; for CONNECT, which is a request to become a
        tunnel whatever its head says, HttpParserError."""
        try:
            self._parser.feed_data(data)
            return
        except httptools.HttpParserUpgrade as upgrade:
            head = self._http.head_without_upgrade()
            if head is None:
                raise
            once_more = head + data[upgrade.args[0] :]
        self._begin()  # behind a head that closes the connection the old one reads nothing
        try:
            self._parser.feed_data(once_more)
        except httptools.HttpParserUpgrade as still:
            raise httptools.HttpParserError("a tunnel") from still


class UpgradingHttp(HttpToolsProtocol):
    """Hands a request that is a WebSocket's handshake to the class for that, in one form: a target that is a path, one
    `Connection: Upgrade`, one `Upgrade: websocket`. Whatever else asks for an upgrade is a request like others."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.parser = _Parser(self)  # type: ignore[assignment]
        self._as_it_came: list[tuple[bytes, bytes]] | None = None  # the headers of a head that is read once more
        self._ours: bool | None = None  # whether this head's upgrade is one of ours; None before that was asked

    def on_message_begin(self) -> None:
        self._ours = None
        super().on_message_begin()

    def head_without_upgrade(self) -> bytes | None:
        """Return the head that was just read, without its upgrade; None if the upgrade is one of ours."""
        if self._should_upgrade():
            return None
        self._as_it_came = list(self.headers)
        line = b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        return line + b"".join(b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade") + b"\r\n"

    def on_headers_complete(self) -> None:
        if self._ignored():
            return
        if self._as_it_came is not None:
            self.headers[:] = self._as_it_came
            self._as_it_came = None
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        if not self._ignored():
            super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        self.url = origin_form(self.url)
        kept = [header for header in self.headers if header[0] not in _OURS]
        self.headers[:] = [*kept, (b"connection", b"Upgrade"), (b"upgrade", b"websocket")]
        super().handle_websocket_upgrade()

    def _ignored(self) -> bool:
        """Return whether the parser takes this for an upgrade, and we do not."""
        return bool(self.parser.should_upgrade()) and not self._should_upgrade()

    def _should_upgrade(self) -> bool:
        """Return whether a head that is whole asks for a WebSocket; uvicorn asks too, several times."""
        if self._ours is None:
            method, version = self.parser.get_method().decode("ascii"), self.parser.get_http_version()
            self._ours = flaw(method, version, self._lines) is None
        return self._ours

    def _lines(self, name: str) -> list[str]:
        wanted = name.lower().encode()
        return [value.decode("latin-1") for header, value in self.headers if header == wanted]
