"""Variables that are empty, that an orchestrator sets, or that nobody knows (F63)."""

import subprocess
from typing import Any

import pytest

from duckycart.environment import SETTINGS, tidy
from duckycart.settings import Settings
from duckycart.testing.waiting import until
from tests.process.test_command_line import COMMAND
from tests.process.world import Served

# As Kubernetes sets them beside services named duckycart, duckycart-postgres and duckycart-bus.
OF_KUBERNETES = {
    "DUCKYCART_SERVICE_HOST": "10.96.12.7",
    "DUCKYCART_SERVICE_PORT": "8000",
    "DUCKYCART_SERVICE_PORT_HTTP": "8000",
    "DUCKYCART_PORT": "tcp://10.96.12.7:8000",
    "DUCKYCART_PORT_8000_TCP": "tcp://10.96.12.7:8000",
    "DUCKYCART_PORT_8000_TCP_PROTO": "tcp",
    "DUCKYCART_PORT_8000_TCP_PORT": "8000",
    "DUCKYCART_PORT_8000_TCP_ADDR": "10.96.12.7",
    "DUCKYCART_POSTGRES_SERVICE_HOST": "10.96.12.8",
    "DUCKYCART_POSTGRES_PORT": "tcp://10.96.12.8:5432",
    "DUCKYCART_POSTGRES_PORT_5432_TCP_ADDR": "10.96.12.8",
    "DUCKYCART_BUS_SERVICE_PORT_CLIENT": "4222",
    "DUCKYCART_BUS_PORT": "tcp://[fd00::7]:4222",
    "DUCKYCART_BUS_PORT_4222_TCP": "tcp://[fd00::7]:4222",
}
OURS = {"DUCKYCART_PORT": "9000", "DUCKYCART_BUS": "nats://bus:4222", "DUCKYCART_KEY": "k", "PATH": "/bin"}


def test_the_names_of_the_settings_are_known_without_them() -> None:
    assert tuple(Settings.model_fields) == SETTINGS


def test_f63_what_an_orchestrator_says_of_services_is_no_setting() -> None:
    environ = {**OF_KUBERNETES, "DUCKYCART_HOST": "::"}
    (note,) = tidy(environ)
    assert environ == {"DUCKYCART_HOST": "::"}
    assert set(note.names) == set(OF_KUBERNETES)
    assert "enableServiceLinks" in note.event


def test_f63_what_is_meant_for_us_stays() -> None:
    environ = dict(OURS)
    assert tidy(environ) == []
    assert environ == OURS
    everything = {f"DUCKYCART_{name.upper()}": "x" for name in Settings.model_fields}
    assert tidy(dict(everything)) == []


@pytest.mark.parametrize("empty", ["", " ", "\t"])
def test_f63_an_empty_variable_is_not_set(empty: str) -> None:
    environ = {f"DUCKYCART_{name.upper()}": empty for name in (*Settings.model_fields, "key", "url")}
    assert tidy(environ) == []
    assert environ == {}


@pytest.mark.parametrize(
    ("name", "meant"),
    [("PROT", "PORT"), ("KEYLES_CARTS", "KEYLESS_CARTS"), ("TLS_CERTIFICATE", "TLS_CERT"), ("DATABSE", "DATABASE"),
     ("X", None), ("", None)],
)  # fmt: skip
def test_f63_a_name_that_nobody_knows_is_said_with_the_nearest_that_is_known(name: str, meant: str | None) -> None:
    (note,) = tidy({f"DUCKYCART_{name}": "1"})
    assert note.names == (f"DUCKYCART_{name}",)
    assert note.event == "no such setting" + (f"; did you mean DUCKYCART_{meant}?" if meant else "")


async def test_f63_the_server_starts_whatever_kubernetes_says_and_tells_what_it_ignores(served: Served) -> None:
    empty = {"DUCKYCART_TLS_CERT": "", "DUCKYCART_PUBLIC_URL": "", "DUCKYCART_QR_SECONDS": " "}
    await served.start("--tls-key", "", **OF_KUBERNETES, **empty, DUCKYCART_PROT="1")
    warnings = [line for line in await served.beginning() if line["level"] == "warning"]
    assert [line["event"] for line in warnings[:2]] == [
        "no such setting; did you mean DUCKYCART_PORT?",
        "ignored, for they tell of a service of that name (Kubernetes: enableServiceLinks: false)",
    ]
    assert warnings[0]["variables"] == "DUCKYCART_PROT"
    assert "DUCKYCART_PORT," in warnings[1]["variables"]
    assert served.lines()[0]["event"] != "starting"  # before anything is done with them


def run(*arguments: str, **environment: str) -> Any:
    return subprocess.run(
        [COMMAND, *arguments], env={"PATH": "/bin:/usr/bin", **environment}, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("command", "environment", "name"),
    [
        (["serve", "--port", "0"], {"DUCKYCART_QR_SECONDS": "soon"}, "DUCKYCART_QR_SECONDS"),
        (["serve"], {"DUCKYCART_PORT": "http"}, "DUCKYCART_PORT"),
        (["serve"], {"DUCKYCART_DATABASE": "shop.db"}, "DUCKYCART_DATABASE"),
        (["demo", "--once"], {"DUCKYCART_QR_SECONDS": "soon"}, "DUCKYCART_QR_SECONDS"),
        (["carts", "list"], {"DUCKYCART_DATABASE": "shop.db"}, "DUCKYCART_DATABASE"),
        (["products", "import", "x.csv"], {"DUCKYCART_DATABASE": "mysql://shop"}, "DUCKYCART_DATABASE"),
        (["nodes"], {"DUCKYCART_DATABASE": "shop.db"}, "DUCKYCART_DATABASE"),
        (["db", "check"], {"DUCKYCART_DATABASE": "shop.db"}, "DUCKYCART_DATABASE"),
        (["cart", "1"], {"DUCKYCART_URL": "shop:8000"}, "DUCKYCART_URL"),
    ],
)
def test_f63_a_value_that_cannot_be_is_told_with_its_variable(
    command: list[str], environment: dict[str, str], name: str
) -> None:
    done = run(*command, **environment)
    assert done.returncode in (1, 2)
    assert name in done.stderr
    assert "Traceback" not in done.stderr


def test_f63_every_command_tells_of_a_name_that_nobody_knows() -> None:
    for command in (["carts", "list"], ["cart", "1"], ["db", "check"]):
        done = run(*command, DUCKYCART_DATABSE="x", DUCKYCART_DATABASE="shop.db", DUCKYCART_URL="shop:1")
        assert "DUCKYCART_DATABSE: no such setting; did you mean DUCKYCART_DATABASE?" in done.stderr


async def test_f63_a_command_whose_output_is_read_by_programs_keeps_it_clean(served: Served) -> None:
    await served.start()
    done = run("carts", "list", "--json", DUCKYCART_DATABSE="x", DUCKYCART_DATABASE=f"sqlite:///{served.database}")
    assert done.stdout.startswith("{")
    await until(lambda: served.process.is_alive())
