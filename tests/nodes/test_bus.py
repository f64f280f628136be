"""The bus on real NATS: who hears what, and what happens when NATS is away."""

import asyncio
import json
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

from duckycart.nodes.messages import Message, TakenOver
from duckycart.nodes.nats import MAX_WAITING, NatsBus
from tests.nats import NatsServer, nats_cluster, nats_server
from tests.postgres import free_port
from tests.world import until

SHOP = "a-shop"


class Member:
    """A node's bus and what it heard."""

    def __init__(self, servers: tuple[str, ...], node: str, shop: str = SHOP, **options: Any) -> None:
        self.heard: list[Message] = []
        self.bus = NatsBus(servers, shop, node, self.heard.append, **options)

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
        stranger = await join(nats.url, "b/2", shop="another-shop")
        a.bus.tell("b/2", TakenOver(1, 1))
        a.bus.tell("c c/3", TakenOver(1, 2))
        a.bus.tell_others(TakenOver(1, 3))
        await b.hears(TakenOver(1, 1), TakenOver(1, 3))
        await c.hears(TakenOver(1, 2), TakenOver(1, 3))
        b.bus.tell_others(TakenOver(1, 4))
        await a.hears(TakenOver(1, 4))
        assert stranger.heard == []


async def test_what_is_no_message_is_passed_over(nats: NatsServer) -> None:
    async with members() as join:
        a, b = await join(nats.url, "a"), await join(nats.url, "b")
        other = Client()
        await other.connect(nats.url)
        for garbage in (b"", b"{", b"Queued {}", b"\0" * 100_000):
            await other.publish(f"duckycart.{SHOP}.all", garbage)
        await other.flush()
        await other.close()
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
        b = NatsBus((nats.url,), SHOP, "b", fail_once)
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
    bus = NatsBus((f"nats://127.0.0.1:{free_port()}",), SHOP, "a", print)
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
        NatsBus(("tls://127.0.0.1:1",), SHOP, "a", print, ca=tmp_path / "ca.pem")

    with pytest.raises(ssl.SSLError):
        asyncio.run(make())
