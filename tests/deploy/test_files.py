"""The examples beside haproxy.cfg: what can be known of them without Docker, systemd or a cluster.

Whether they are well-formed for their own tools was looked at by hand; see deploy/README.md.
"""

import asyncio
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from nats.aio.client import Client
from typer.testing import CliRunner

from duckycart import cli
from duckycart.server import BACKLOG
from duckycart.settings import Settings
from duckycart.testing.waiting import PATIENCE, until
from tests.deploy.conftest import Balance
from tests.deploy.world import DEPLOY
from tests.nats import PROGRAM
from tests.ports import free_port

CARTS = 50_000  # of one node; what every patience with a stopping node must be enough for

# As `openssl rand -hex` may well give it: NATS takes what begins with a digit for a number, if it can.
FILLED_IN = {
    "POSTGRES_PASSWORD": "5e3",
    "BUS_PASSWORD": "7e1",
    "PUBLIC_URL": "https://shop.example.com:8000",
    "CERTIFICATE": "./certificate.pem",
}


def _compose() -> dict[str, Any]:
    """compose.yaml with the variables that compose.env.example names."""
    named = re.findall(r"^(\w+)=", (DEPLOY / "compose.env.example").read_text(), re.MULTILINE)
    text = re.sub(
        r"\$\{(\w+)(?::\?[^}]*)?\}",
        lambda found: {name: FILLED_IN[name] for name in named}[found[1]],
        (DEPLOY / "compose.yaml").read_text(),
    )
    services: dict[str, Any] = yaml.safe_load(text)["services"]
    return services


def _kubernetes() -> dict[str, Any]:
    return {document["kind"]: document for document in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())}


def _env_file(name: str) -> dict[str, str]:
    """With what is commented out."""
    return dict(re.findall(r"^#?([A-Z_]+)=(.*)$", (DEPLOY / name).read_text(), re.MULTILINE))


def _settings(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> Settings:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return Settings()


def _seconds(text: str) -> int:
    return int(text.removesuffix("s"))


DRAIN_SECONDS = CARTS / Settings.model_fields["drain_per_second"].default


# Variables


def test_every_variable_is_a_setting() -> None:
    files = [path for path in DEPLOY.rglob("*") if path.is_file()] + [DEPLOY.parent / "docs" / "deploy.md"]
    used = {name for path in files for name in re.findall(r"DUCKYCART_([A-Z_]+)", path.read_text(errors="replace"))}
    assert used
    assert {name.lower() for name in used} <= set(Settings.model_fields)


def test_the_environment_of_the_unit_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _settings(monkeypatch, _env_file("duckycart.env.example"))
    assert len(settings.bus) == 2


@pytest.mark.parametrize("node", ["server-1", "server-2", "server-3"])
def test_the_environment_of_a_composed_node_is_accepted(monkeypatch: pytest.MonkeyPatch, node: str) -> None:
    services = _compose()
    settings = _settings(monkeypatch, services[node]["environment"])
    assert settings.node == node
    assert len(settings.bus) == 3
    (proxy,) = settings.trusted_proxies
    assert str(proxy) == services["haproxy"]["networks"]["shop"]["ipv4_address"] + "/32"


def test_the_environment_of_a_pod_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    objects = _kubernetes()
    assert _settings(monkeypatch, objects["ConfigMap"]["data"]).sandbox_public == "yes"


# Commands


@pytest.mark.parametrize(
    "command",
    [
        *(service["command"] for service in _compose().values() if service["image"].startswith("duckycart")
          and "command" in service),
        *(_kubernetes()[kind]["spec"]["template"]["spec"]["containers"][0]["args"] for kind in ("Job", "Deployment")),
        *(line.split()[1:] for line in re.findall(r"^ExecStart=(.*)$", (DEPLOY / "duckycart.service").read_text(),
                                                  re.MULTILINE)),
    ],
)  # fmt: skip
def test_every_command_exists(command: list[str]) -> None:
    assert CliRunner().invoke(cli.app, [*command, "--help"]).exit_code == 0


# The port that outlives the server


def test_f69_the_port_of_the_unit_outlives_the_server() -> None:
    """systemd hands the sockets of a unit to the service of the same name."""
    socket, service = ((DEPLOY / f"duckycart.{kind}").read_text().splitlines() for kind in ("socket", "service"))
    assert "Requires=duckycart.socket" in service
    assert any(line.startswith("After=duckycart.socket ") for line in service)
    assert {"Type=notify", "Restart=always"} <= set(service)
    (port,) = [line.rpartition(":")[2] for line in socket if line.startswith("ListenStream=")]
    assert f"Backlog={BACKLOG}" in socket
    assert _env_file("duckycart.env.example")["DUCKYCART_PUBLIC_URL"].endswith(f":{port}")
    assert {"DUCKYCART_HOST", "DUCKYCART_PORT"}.isdisjoint(_env_file("duckycart.env.example"))


# A node that stops is given the time for it


def test_a_stopping_node_has_time_to_drain() -> None:
    services = _compose()
    for node in ("server-1", "server-2", "server-3"):
        assert _seconds(services[node]["stop_grace_period"]) > DRAIN_SECONDS
    unit = dict(re.findall(r"^(\w+)=(.*)$", (DEPLOY / "duckycart.service").read_text(), re.MULTILINE))
    assert _seconds(unit["TimeoutStopSec"]) > DRAIN_SECONDS
    pod = _kubernetes()["Deployment"]["spec"]["template"]["spec"]
    (_, sleep) = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    assert pod["terminationGracePeriodSeconds"] > DRAIN_SECONDS + _seconds(sleep)


# Names that must agree


def test_what_kubernetes_refers_to_is_there() -> None:
    objects = _kubernetes()
    spec = objects["Deployment"]["spec"]
    labels = spec["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"] == labels
    assert objects["Service"]["spec"]["selector"] == labels
    assert objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert objects["Job"]["spec"]["template"]["metadata"]["labels"] != labels  # it is no node
    (container,) = spec["template"]["spec"]["containers"]
    ports = {port["name"] for port in container["ports"]}
    assert {port["targetPort"] for port in objects["Service"]["spec"]["ports"]} <= ports
    assert {container[probe]["httpGet"]["port"] for probe in PROBES} <= ports
    assert container["envFrom"] == [{"configMapRef": {"name": objects["ConfigMap"]["metadata"]["name"]}}]


PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


def test_what_compose_refers_to_is_there() -> None:
    services = _compose()
    for service in services.values():
        assert set(service.get("depends_on", ())) <= set(services)
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in ("postgres", FILLED_IN["CERTIFICATE"]) or (DEPLOY / source).is_file()


async def test_haproxy_takes_what_compose_gives_it(balance: Balance) -> None:
    services = _compose()
    environment = services["haproxy"]["environment"]
    nodes = {value for name, value in environment.items() if name.startswith("SERVER_")}
    assert nodes == {f"{name}:8000" for name in services if name.startswith("server-")}
    balancer = balance(1, 2, 3)  # instead of names that only compose knows
    balancer.environment = {**environment, **balancer.environment}
    checked = balancer.checked()
    assert checked.returncode == 0, checked.stderr


# NATS


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[list[int]]:
    """Three servers with the file and environment of compose.yaml; their ports."""
    services = _compose()
    ports = [free_port() for _ in range(3)]
    routes = [free_port() for _ in range(3)]
    with ExitStack() as stack:
        for number in range(3):
            environment = dict(services[f"nats-{number + 1}"]["environment"])
            for other, port in enumerate(routes, 1):
                environment["NATS_ROUTES"] = environment["NATS_ROUTES"].replace(
                    f"nats-{other}:6222", f"127.0.0.1:{port}"
                )
            process = stack.enter_context(
                Popen(
                    [PROGRAM, "-c", DEPLOY / "nats" / "nats.conf", "-a", "127.0.0.1", "-p", str(ports[number]),
                     "--cluster_listen", f"nats://127.0.0.1:{routes[number]}", "-l", tmp_path / f"nats-{number}.log"],
                    env=environment,
                )
            )  # fmt: skip
            stack.callback(process.kill)
        yield ports


async def test_what_one_nats_server_is_told_the_others_know(cluster: list[int]) -> None:
    user, password = "duckycart", FILLED_IN["BUS_PASSWORD"]

    async def refused(_: Exception) -> None:
        """The servers are just starting."""

    clients = []
    for port in cluster:
        client = Client()
        await client.connect(
            f"nats://{user}:{password}@127.0.0.1:{port}",
            max_reconnect_attempts=-1,
            reconnect_time_wait=0,  # seconds
            error_cb=refused,
        )
        clients.append(client)
    heard = asyncio.Event()

    async def hear(_: object) -> None:
        heard.set()

    await clients[0].subscribe("news", cb=hear)
    await clients[0].flush()

    async def told() -> bool:
        await clients[2].publish("news", b"")  # until the routes between them are open
        await clients[2].flush()
        return heard.is_set()

    await until(told)
    for client in clients:
        await client.close()
    reader, writer = await asyncio.open_connection("127.0.0.1", cluster[0])
    writer.write(b"CONNECT {}\r\nPING\r\n")
    said = await asyncio.wait_for(reader.read(), PATIENCE)
    writer.close()
    assert b"Authorization Violation" in said
    assert b"PONG" not in said
