"""The bus on real NATS: who hears what, and what happens when NATS is away."""

import asyncio
import json
import signal
import ssl
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from secrets import token_bytes
from typing import Any

import nkeys  # type: ignore[import-untyped]
import pytest
import trustme
from nats.aio.client import Client

from duckycart.bus import nats as nats_module
from duckycart.bus.messages import Message, TakenOver, encode
from duckycart.bus.nats import MAX_WAITING, NatsBus
from duckycart.effects import News, NewsKind
from duckycart.testing.waiting import until
from tests.nats import NatsServer, nats_cluster, nats_server
from tests.ports import free_port

KEY = b"what the nodes of one shop know!"


class Member:
    """A node's bus and what it heard."""

    def __init__(self, servers: tuple[str, ...], node: str, key: bytes = KEY, **options: Any) -> None:
        self.heard: list[Message] = []
        self.unknown: set[str] = set()
        self.bus = NatsBus(servers, key, node, self.heard.append, lambda node: node not in self.unknown, **options)

    async def hears(self, *messages: Message) -> None:
        """These, which must be all it ever heard."""
        await until(lambda: len(self.heard) >= len(messages))
        assert self.heard == list(messages)


Join = Callable[..., Any]


@asynccontextmanager
async def members() -> AsyncIterator[Join]:
    async with AsyncExitStack() as stack:

        async def join(servers: str | tuple[str, ...], node: str, *, wait: bool = True, **options: Any) -> Member:
            member = Member((servers,) if isinstance(servers, str) else servers, node, **options)
            stack.push_async_callback(member.bus.close)
            if wait:
                await until(lambda: member.bus.connected)
            return member

        yield join


async def test_one_node_or_all_others_hear_and_other_shops_do_not(nats: NatsServer) -> None:
    async with members() as join:
        a, b, c = [await join(nats.url, node) for node in ("a.example/1", "b/2", "c c/3")]
        stranger = await join(nats.url, "b/2", key=b"what the nodes of another know..")
        a.bus.tell("b/2", TakenOver(1, 1))
        a.bus.tell("c c/3", TakenOver(1, 2))
        a.bus.tell_others(TakenOver(1, 3))
        await b.hears(TakenOver(1, 1), TakenOver(1, 3))
        await c.hears(TakenOver(1, 2), TakenOver(1, 3))
        b.bus.tell_others(TakenOver(1, 4))
        await a.hears(TakenOver(1, 4))
        assert stranger.heard == []


async def test_what_was_not_sealed_with_the_key_is_passed_over(nats: NatsServer) -> None:
    async with members() as join:
        a, b = await join(nats.url, "a"), await join(nats.url, "b")
        other = Client()
        await other.connect(nats.url)
        sealed = a.bus._seal(encode(TakenOver(1, 9)))
        changed = sealed.replace(b"9", b"8")
        assert changed != sealed
        for garbage in (b"", b"{", b"\n\n", encode(TakenOver(1, 9)), changed, sealed[1:], b"\0" * 100_000):
            await other.publish(f"{a.bus._prefix}.all", garbage)
        await other.flush()
        await other.close()
        a.bus.tell_others(TakenOver(1, 1))
        await b.hears(TakenOver(1, 1))


async def test_a_node_of_a_copy_of_the_database_is_not_heard(nats: NatsServer) -> None:
    """It has the key, and is none of this database's nodes."""
    async with members() as join:
        a, b, copy = [await join(nats.url, node) for node in ("a", "b", "copy")]
        b.unknown.add("copy")
        copy.bus.tell("b", TakenOver(1, 7))
        copy.bus.tell_others(TakenOver(1, 8))
        await a.hears(TakenOver(1, 8))
        a.bus.tell("b", TakenOver(1, 1))
        await b.hears(TakenOver(1, 1))


async def test_words_of_a_newer_version_are_passed_over(nats: NatsServer) -> None:
    async with members() as join:
        a, b = await join(nats.url, "a"), await join(nats.url, "b")
        a.bus._waiting.append((f"{a.bus._prefix}.all", a.bus._seal(b"Dance {}")))
        a.bus.tell_others(TakenOver(1, 1))
        await b.hears(TakenOver(1, 1))


async def test_an_error_over_one_message_does_not_end_the_hearing(nats: NatsServer) -> None:
    heard: list[Message] = []

    def fail_once(message: Message) -> None:
        heard.append(message)
        if len(heard) == 1:
            raise RuntimeError("a bug")

    async with members() as join:
        a = await join(nats.url, "a")
        b = NatsBus((nats.url,), KEY, "b", fail_once, lambda node: True)
        await until(lambda: b.connected)
        for number in (1, 2):
            a.bus.tell_others(TakenOver(1, number))
        await until(lambda: len(heard) == 2)
        await b.close()


async def test_while_nats_is_away_nobody_waits_and_its_coming_back_is_noticed() -> None:
    with nats_server() as nats:
        async with members() as join:
            a, b = await join(nats.url, "a"), await join(nats.url, "b")
            nats.stop()
            await until(lambda: not a.bus.connected and not b.bus.connected)
            for number in range(MAX_WAITING + 10):
                a.bus.tell_others(TakenOver(1, number))
            nats.start()
            await until(lambda: a.bus.connected and b.bus.connected)
            a.bus.tell_others(TakenOver(2, 2))
            await b.hears(TakenOver(2, 2))  # what was said meanwhile would only be stale


async def test_a_node_may_start_before_nats() -> None:
    nats = NatsServer()
    async with members() as join:
        a = await join(nats.url, "a", wait=False)
        a.bus.tell_others(TakenOver(1, 1))
        nats.start()
        try:
            await until(lambda: a.bus.connected)
        finally:
            nats.stop()


async def test_a_bus_that_never_connected_closes_at_once() -> None:
    bus = NatsBus((f"nats://127.0.0.1:{free_port()}",), KEY, "a", print, lambda node: True)
    async with asyncio.timeout(10):
        await bus.close()


async def test_of_a_cluster_any_server_will_do_and_one_may_die() -> None:
    with nats_cluster() as servers:
        urls = tuple(server.url for server in servers)
        async with members() as join:
            a, b = await join((urls[0],), "a"), await join((urls[1], urls[2]), "b")

            def reached() -> bool:
                a.bus.tell_others(TakenOver(1, 1))
                return bool(b.heard)

            await until(reached)
            servers[1].stop()
            b.heard.clear()
            await until(reached)


async def test_a_server_that_hangs_with_much_unsaid_is_left_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nats_module, "PING_SECONDS", 0.2)
    monkeypatch.setattr(nats_module, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(nats_module, "CLOSE_SECONDS", 0.2)
    monkeypatch.setattr(nats_module, "RECONNECT_SECONDS", 0.05)
    with nats_cluster(2) as servers:
        async with members() as join:
            a, b = await join(tuple(server.url for server in servers), "a"), await join(servers[1].url, "b")
            hanging = next(server for server in servers if server.port == bus_port(a.bus))
            if hanging is servers[1]:
                await b.bus.close()  # it would hang with it
            hanging.send(signal.SIGSTOP)
            news = News(NewsKind.CART_UPDATED, 1, 7, 1, {"message": "x" * 5000})
            for _ in range(MAX_WAITING):
                a.bus.tell_others(news)
            try:
                await until(lambda: a.bus.connected and bus_port(a.bus) != hanging.port)
            finally:
                hanging.send(signal.SIGCONT)


def bus_port(bus: NatsBus) -> int | None:
    """Of the server it is connected to."""
    url = None if bus._client is None else bus._client.connected_url
    return None if url is None else url.port


async def test_a_node_is_connected_when_the_server_has_read_what_it_wants_to_hear() -> None:
    """Its PING must come after all it subscribed to: what one node says is lost where another only seems to listen."""
    read = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id": "one", "version": "2.11.0", "proto": 1, "max_payload": 1048576}\r\n')
        while line := await reader.readline():
            read.extend(line)
            if line == b"PING\r\n":
                writer.write(b"PONG\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server, members() as join:
        await join(f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}", "a")
        assert read.count(b"SUB ") == 2
        assert read.endswith(b"PING\r\n")


async def test_a_user_and_a_password_are_part_of_the_url() -> None:
    with nats_server("--user", "ducky", "--pass", "secret", login="ducky:secret@") as nats:
        async with members() as join:
            a, b = await join(nats.url, "a"), await join(nats.url, "b")
            a.bus.tell_others(TakenOver(1, 1))
            await b.hears(TakenOver(1, 1))
            stranger = await join(nats.url.replace("secret", "guess"), "c", wait=False)
            a.bus.tell_others(TakenOver(1, 2))
            await b.hears(TakenOver(1, 1), TakenOver(1, 2))
            assert not stranger.bus.connected


async def test_tls_with_an_authority_of_ones_own(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate = authority.issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    tls = ("--tls", "--tlscert", str(tmp_path / "cert.pem"), "--tlskey", str(tmp_path / "key.pem"))
    with nats_server(*tls, scheme="tls") as nats:
        async with members() as join:
            a, b = [await join(nats.url, node, ca=tmp_path / "ca.pem") for node in "ab"]
            a.bus.tell_others(TakenOver(1, 1))
            await b.hears(TakenOver(1, 1))


def _jwt(claims: dict[str, Any], signer: nkeys.KeyPair) -> str:
    """As NATS has them: signed with a key of its own kind."""

    def part(data: bytes) -> str:
        return urlsafe_b64encode(data).decode().rstrip("=")

    header = part(b'{"typ":"JWT","alg":"ed25519-nkey"}')
    body = {"jti": "1", "iat": 1_700_000_000, "iss": signer.public_key.decode(), **claims}
    signed = f"{header}.{part(json.dumps(body).encode())}"
    return f"{signed}.{part(signer.sign(signed.encode()))}"


def _credentials(folder: Path) -> tuple[Path, Path]:
    """(server's configuration, a user's .creds file), as an operator of NATS accounts makes them."""
    kinds = (nkeys.PREFIX_BYTE_OPERATOR, nkeys.PREFIX_BYTE_ACCOUNT, nkeys.PREFIX_BYTE_USER)
    seeds = [nkeys.encode_seed(token_bytes(32), kind) for kind in kinds]
    operator, account, user = [nkeys.from_seed(bytearray(seed)) for seed in seeds]
    names = [pair.public_key.decode() for pair in (operator, account, user)]
    unlimited = {"subs": -1, "data": -1, "payload": -1}
    limits = {**unlimited, "imports": -1, "exports": -1, "wildcards": True, "conn": -1, "leaf": -1}
    of_operator = _jwt({"sub": names[0], "name": "o", "nats": {"type": "operator", "version": 2}}, operator)
    of_account = _jwt(
        {"sub": names[1], "name": "a", "nats": {"type": "account", "version": 2, "limits": limits}}, operator
    )
    of_user = _jwt(
        {"sub": names[2], "name": "u", "nats": {"type": "user", "version": 2, "pub": {}, "sub": {}, **unlimited}},
        account,
    )
    server, creds = folder / "nats.conf", folder / "shop.creds"
    server.write_text(f"operator: {of_operator}\nresolver: MEMORY\nresolver_preload: {{ {names[1]}: {of_account} }}\n")
    creds.write_text(
        f"-----BEGIN NATS USER JWT-----\n{of_user}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seeds[2].decode()}\n------END USER NKEY SEED------\n"
    )
    return server, creds


async def test_the_credentials_of_a_nats_account_let_in_and_nothing_else_does(tmp_path: Path) -> None:
    server, creds = _credentials(tmp_path)
    with nats_server("--config", str(server)) as nats:
        async with members() as join:
            a, b = [await join(nats.url, node, credentials=creds) for node in "ab"]
            stranger = await join(nats.url, "c", wait=False)
            a.bus.tell_others(TakenOver(1, 1))
            await b.hears(TakenOver(1, 1))
            assert not stranger.bus.connected


def test_an_authority_that_is_no_certificate_is_an_error_at_once(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")

    async def make() -> None:
        NatsBus(("tls://127.0.0.1:1",), KEY, "a", print, lambda node: True, ca=tmp_path / "ca.pem")

    with pytest.raises(ssl.SSLError):
        asyncio.run(make())
