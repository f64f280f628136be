"""haproxy, NATS, PostgreSQL and two nodes, each a real process: a shop that is restarted node by node."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import httpx2
import pytest
from typer.testing import CliRunner
from websockets.http11 import Response

from duckycart import cli
from duckycart.testing.cart import PoliteCart, running
from duckycart.testing.endpoint import Endpoint
from duckycart.testing.furnish import MILK
from duckycart.testing.waiting import until
from tests.deploy.conftest import Balance
from tests.deploy.world import Balancer, Screen
from tests.nats import NatsServer
from tests.process.world import Served, serving


class ItsCart(PoliteCart):
    hurried = False  # it was refused without a word of when to come again

    def refused(self, response: Response) -> None:
        self.hurried |= "Retry-After" not in response.headers


class Chain:
    """Two nodes on one database, not yet started, and haproxy in front."""

    def __init__(self, nodes: dict[str, Served], balancer: Balancer, database: str, bus: str) -> None:
        self.nodes = nodes
        self.balancer = balancer
        self.database = database
        self.bus = bus

    def admin(self, *arguments: str) -> str:
        """What `duckycart …` prints."""
        result = CliRunner().invoke(cli.app, [*arguments, "--database", self.database])
        assert result.exit_code == 0, result.output
        return result.stdout

    async def start(self, name: str) -> None:
        await self.nodes[name].start(
            "--database", self.database, "--bus", self.bus,
            DUCKYCART_NODE=name,
            DUCKYCART_PUBLIC_URL=f"https://{self.balancer.address}",
            DUCKYCART_TRUSTED_PROXIES="127.0.0.1/32",
        )  # fmt: skip
        await until(lambda: self.is_ready(name))

    async def is_ready(self, name: str) -> bool:
        return (await self.nodes[name].http.get("/readyz")).status_code == 200

    async def carts_of(self, name: str) -> int:
        return int((await self.nodes[name].http.get("/readyz")).json()["carts_connected"])

    async def where_the_cart_is(self) -> tuple[str, str]:
        """The name of its node, and that of the other."""

        async def found() -> tuple[str, str] | None:
            counts = {name: await self.carts_of(name) for name in self.nodes}
            here, there = sorted(counts, key=lambda name: -counts[name])
            return (here, there) if (counts[here], counts[there]) == (1, 0) else None

        result: tuple[str, str] = await until(found)
        return result

    async def is_used_without_carts(self) -> bool:
        """Whether haproxy sends requests to the node that has no cart."""
        answer = await self.balancer.https.get("/readyz")
        return answer.status_code == 200 and answer.json()["carts_connected"] == 0


@pytest.fixture
async def chain(postgres_database: str, nats: NatsServer, tmp_path: Path, balance: Balance) -> AsyncIterator[Chain]:
    with ExitStack() as stack:
        nodes = {}
        for name in "ab":
            (folder := tmp_path / name).mkdir()
            nodes[name] = stack.enter_context(serving(folder))
        yield Chain(nodes, balance(*(node.port for node in nodes.values())), postgres_database, nats.url)
        for node in nodes.values():
            await node.http.aclose()


async def test_a_restart_of_every_node_in_turn_loses_nothing_and_says_nothing_twice(chain: Chain) -> None:
    key = json.loads(chain.admin("carts", "add", "1", "--json"))["carts"][0]["key"]
    products = chain.nodes["a"].database.with_name("products.csv")
    header = "barcode,description,description_ar,product_size,unit_price,weight_grams,image_url"
    products.write_text(f"{header}\n{MILK},Milk,,,12.50,,\n")
    chain.admin("products", "import", str(products))
    for name in chain.nodes:
        await chain.start(name)
    await chain.balancer.start()
    http = chain.balancer.https
    with_key = {"X-API-Key": key}
    async with AsyncExitStack() as stack:
        balancer = Endpoint(chain.balancer.port, tls=chain.balancer.trusting)
        cart = ItsCart(balancer, 1)
        cart.path += f"?key={key}"
        await stack.enter_async_context(running(cart))
        here, there = await chain.where_the_cart_is()

        # Asked and committed at one node, told by the other
        other = chain.nodes[there].http
        qr = await other.get("/customer-session/qr/1", headers={**with_key, "Prefer": "wait=5"})
        assert qr.headers["Hardware-Delivery"] == "received"
        await hears(cart, "generate_qr")
        shopper, token = await _sign_in(http)
        scan = await other.post("/customer-session/scan-qr", json={"token": qr.json()}, headers=shopper)
        session = scan.json()["session_id"]
        await hears(cart, "generate_qr", "session_started")
        screen = Screen(chain.balancer, f"/ws/{session}?token={token}")
        stack.push_async_callback(screen.stop)
        await screen.hears_at_last("cart-updated")

        # The cart's node ends, and the shopper goes on
        assert await chain.nodes[here].stop() == 0
        line = {"sessionID": session, "barcode": MILK}
        assert (await http.post("/cart-items/add", json=line, headers=with_key)).status_code == 200
        payment = (await http.post(f"/payment/create-payment/{session}", headers=shopper)).json()
        await hears(cart, "generate_qr", "session_started", "payment_created")

        # It is back, and the other one ends
        await chain.start(here)
        await until(chain.is_used_without_carts)
        assert await chain.nodes[there].stop() == 0
        assert (await http.post(f"{payment['payment_url']}/pay")).status_code in (200, 303)
        await hears(cart, "generate_qr", "session_started", "payment_created", "end_session")
        assert cart.closes == [1012, 1012]
        assert set(cart.refusals) <= {503}
        assert not cart.hurried
        await screen.hears_at_last("Payment successful")


async def hears(cart: PoliteCart, *words: str) -> None:
    """Until it was told these, in order; fails when it was told anything else."""
    await until(lambda: len(cart.commands) >= len(words))
    assert [kind for kind, _ in cart.commands] == list(words)


async def _sign_in(http: httpx2.AsyncClient) -> tuple[dict[str, str], str]:
    """Headers and token of a new account."""
    account = {"email": "mona@example.com", "password": "correct horse", "full_name": "Mona"}
    assert (await http.post("/auth/signup", json=account)).status_code == 200
    form = {"username": account["email"], "password": account["password"]}
    token = (await http.post("/auth/login", data=form)).json()["access_token"]
    return {"Authorization": f"Bearer {token}"}, token
