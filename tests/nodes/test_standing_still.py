"""Two real servers, and everything they lean on stands still: the database, in the middle of a session."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

import pytest

from duckycart.testing.cart import CartConnection
from duckycart.testing.furnish import furnish, key_of
from duckycart.testing.waiting import until
from tests.nats import NatsServer
from tests.postgres import OwnPostgres, own_postgres
from tests.process.world import Served, heard, serving, told

COMMAND = str(Path(sys.executable).with_name("duckycart"))
CART = {"X-API-Key": key_of(1)}


@pytest.fixture(scope="module")
def freezable() -> Iterator[OwnPostgres]:
    with own_postgres() as postgres, postgres.with_template():
        yield postgres


@pytest.fixture
def database(freezable: OwnPostgres) -> Iterator[str]:
    with freezable.migrated() as url:
        yield url.render_as_string(hide_password=False)


@pytest.fixture
async def nodes(database: str, nats: NatsServer, tmp_path: Path) -> AsyncIterator[list[Served]]:
    with ExitStack() as stack:
        nodes = []
        for name in "ab":
            (folder := tmp_path / name).mkdir()
            nodes.append(stack.enter_context(serving(folder)))
        async with AsyncExitStack() as closing:
            for node, name in zip(nodes, "ab", strict=True):
                closing.push_async_callback(node.http.aclose)
                await node.start("--database", database, "--bus", nats.url, DUCKYCART_NODE=name)
            yield nodes


async def status(node: Served, method: str, path: str, **request: Any) -> tuple[int, str]:
    answer = await node.ask(method, path, **request)
    assert answer is not None
    return answer.status_code, answer.json().get("code", "") if answer.status_code != 200 else ""


async def ready(node: Served) -> bool:
    return (await status(node, "GET", "/readyz"))[0] == 200


async def test_f48_a_frozen_database_is_503_on_every_node_and_costs_no_cart_its_connection(
    nodes: list[Served], database: str, freezable: OwnPostgres
) -> None:
    shopper = furnish(database).headers(1)
    cart = await CartConnection.open(nodes[0].endpoint, "/ws/hardware/1", CART)
    first = await nodes[1].ask("GET", "/customer-session/qr/1", headers=CART)
    assert first is not None
    await heard(cart, 1)
    with freezable.frozen():
        answers = await asyncio.gather(
            *(
                status(node, *call, **request)
                for node in nodes
                for call, request in (
                    (("GET", "/readyz"), {}),
                    (("GET", "/customer-session/qr/1"), {"headers": CART}),
                    (("POST", "/customer-session/scan-qr"), {"headers": shopper, "json": {"token": first.json()}}),
                )
                for _ in range(8)
            )
        )
        assert {status for status, _ in answers} == {503}
        assert {code for _, code in answers} <= {"database_unavailable", "database_silent"}
        listed = await asyncio.to_thread(
            subprocess.run, [COMMAND, "carts", "list", "--database", database], capture_output=True, text=True
        )
        assert (listed.returncode, listed.stdout) == (1, "")
        assert listed.stderr.startswith("The database cannot be used: ")
        assert len(listed.stderr.splitlines()) == 1
    await until(lambda: ready(nodes[0]))
    await until(lambda: ready(nodes[1]))
    scanned = await nodes[1].ask("POST", "/customer-session/scan-qr", headers=shopper, json={"token": first.json()})
    assert scanned is not None
    assert scanned.status_code == 200, scanned.text
    await heard(cart, 2)
    assert told(cart) == ["generate_qr", "session_started"], "on the connection of before; nothing twice"


async def test_f48_a_server_ends_beside_a_frozen_database(nodes: list[Served], freezable: OwnPostgres) -> None:
    with freezable.frozen():
        os.kill(nodes[0].process.pid, signal.SIGTERM)
        await nodes[0].ended()
