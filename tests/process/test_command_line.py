"""`duckycart serve` from the shell: what it takes, and one plain sentence for what it does not."""

import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from duckycart.own_address import own_address
from duckycart.store.sqlite import FileLock
from duckycart.testing.waiting import until
from tests.ports import free_port
from tests.process.world import Served

COMMAND = str(Path(sys.executable).with_name("duckycart"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--help"], ["server for smart shopping carts", "serve"]),
        (["serve", "--help"], ["--host", "--port", "--database", "--tls-cert", "--tls-key", "DUCKYCART_PORT"]),
    ],
)
def test_it_explains_itself(arguments: list[str], words: list[str]) -> None:
    shown = subprocess.run([COMMAND, *arguments], capture_output=True, text=True, check=True)
    assert [word for word in words if word not in shown.stdout] == []


@pytest.mark.parametrize(
    ("arguments", "environment", "sentence"),
    [
        pytest.param(["--port", "70000"], {}, "port: Input should be less than", id="port too high"),
        pytest.param(["--port", "http"], {}, "'--port'", id="port not a number"),
        pytest.param([], {"QR_SECONDS": "1"}, "qr_seconds: Input should be greater", id="QR too short"),
        pytest.param([], {"KEYLESS_CARTS": "the shop"}, "keyless_carts: ", id="not a network"),
        pytest.param([], {"LOG_FORMAT": "xml"}, "DUCKYCART_LOG_FORMAT", id="unknown log format"),
        pytest.param([], {"PAYMENT_PROVIDER": "barter"}, "DUCKYCART_PAYMENT_PROVIDER", id="unknown provider"),
        pytest.param(["--tls-cert", "shop.db"], {}, "belong together", id="certificate without key"),
        pytest.param(["--tls-cert", "a.pem", "--tls-key", "b.pem"], {}, "a.pem is not there", id="no certificate"),
        pytest.param(
            ["--tls-cert", "shop.db", "--tls-key", "shop.db"], {}, "certificate or its key cannot be used",
            id="not a certificate",
        ),
        pytest.param(["--database", "mysql://shop"], {}, "like postgresql+psycopg://", id="other database"),
        pytest.param(["--database", "shop.db"], {}, "sqlite:///duckycart.db", id="not a URL"),
        pytest.param(["--bus", "nats://127.0.0.1:4222"], {}, "a file has one server", id="a bus on a file"),
        pytest.param(["--bus", "127.0.0.1:4222"], {}, "name NATS servers, like nats://", id="not a bus"),
        pytest.param([], {"BUS_CREDENTIALS": "no.creds"}, "no.creds is not there", id="no credentials"),
        pytest.param(
            ["--database", "sqlite:///notes.txt"], {}, "cannot be opened: file is not a database: ", id="not a database"
        ),
        pytest.param(["--database", "sqlite:///notes.txt/shop.db"], {}, "cannot be opened: ", id="no such folder"),
        pytest.param(["--database", "sqlite:////proc/shop.db"], {}, "cannot be opened: ", id="not writable"),
        pytest.param(["--database", "sqlite:///folder"], {}, "cannot be opened: ", id="a folder"),
        pytest.param(["--database", "sqlite:///newer.db"], {}, "written by a newer DuckyCart", id="newer schema"),
        pytest.param(["--host", "0.0.0.0"], {}, "Set DUCKYCART_SANDBOX_PUBLIC=yes for a trial", id="public sandbox"),
        pytest.param(["--host", "::"], {}, "Set DUCKYCART_SANDBOX_PUBLIC=yes for a trial", id="public sandbox, IPv6"),
        pytest.param(
            ["--host", "203.0.113.1"], {"SANDBOX_PUBLIC": "yes"}, "Cannot listen on 203.0.113.1, port 0: ",
            id="not our address",
        ),
    ],
)  # fmt: skip
async def test_what_it_cannot_do_it_says_in_one_sentence(
    served: Served, monkeypatch: pytest.MonkeyPatch, arguments: list[str], environment: dict[str, str], sentence: str
) -> None:
    folder = served.database.parent
    (folder / "notes.txt").write_text("milk, bread, tea\n" * 500)
    (folder / "folder").mkdir()
    newer = sqlite3.connect(folder / "newer.db")
    newer.execute("CREATE TABLE alembic_version (version_num)")
    newer.execute("INSERT INTO alembic_version VALUES ('0099')")
    newer.commit()
    newer.close()
    arguments = ["serve", "--port", "0", "--database", f"sqlite:///{served.database}", *arguments]
    await refused(served, arguments, environment, sentence, folder)


async def refused(
    served: Served, arguments: list[str], environment: dict[str, str], sentence: str, folder: Path | None = None
) -> None:
    """The process ends with exit code 1 or 2 and, the log's own lines aside, this sentence; no traceback."""
    settings = {f"DUCKYCART_{name}": value for name, value in environment.items()}
    served.run(*arguments, folder=folder, **settings)
    code = await served.ended()
    said = [line for line in served.log.read_text().splitlines() if not line.startswith("{")]
    assert code in (1, 2), said
    assert sentence in " ".join(said)
    assert "Traceback" not in " ".join(said)
    if code == 1:
        assert len(said) == 1


async def test_a_port_in_use_is_said_in_one_sentence(served: Served) -> None:
    with socket.create_server(("127.0.0.1", served.port)):
        arguments = ["serve", "--port", str(served.port), "--database", f"sqlite:///{served.database}"]
        await refused(served, arguments, {}, f"Cannot listen on 127.0.0.1, port {served.port}: Address already in use")


async def test_a_second_server_on_one_file_is_refused(served: Served) -> None:
    lock = FileLock(served.database)
    arguments = ["serve", "--port", "0", "--database", f"sqlite:///{served.database}"]
    await refused(served, arguments, {}, "Another DuckyCart server (process ")
    lock.release()


async def test_f48_a_start_on_a_locked_database_ends_with_a_sentence(served: Served) -> None:
    locking = sqlite3.connect(served.database, isolation_level=None)
    locking.execute("BEGIN IMMEDIATE")
    served.run("serve", "--port", "0", "--database", f"sqlite:///{served.database}")
    assert await served.ended() == 3
    locking.close()
    errors = [line["event"] for line in served.lines() if line["level"] == "error"]
    assert any(it.startswith("The server cannot start: ") and it.endswith("(database is locked)") for it in errors)
    assert "Traceback" not in served.log.read_text()


async def test_options_come_from_the_environment_and_the_command_line_wins(served: Served) -> None:
    served.run(
        "serve", "--port", str(served.port),
        DUCKYCART_PORT="1", DUCKYCART_HOST="127.0.0.1", DUCKYCART_DATABASE=f"sqlite:///{served.database}",
        DUCKYCART_PUBLIC_URL="https://shop.example/",
    )  # fmt: skip
    starting = (await served.beginning())[0]
    assert starting["event"] == "starting"
    assert starting["url"] == "https://shop.example"
    assert starting["database"] == str(served.database)
    assert starting["carts_allowed"] > 0


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
async def test_on_all_addresses_phones_are_sent_to_one_that_they_can_open(served: Served, host: str) -> None:
    port = free_port("0.0.0.0")
    served.run(
        "serve", "--host", host, "--port", str(port), "--database", f"sqlite:///{served.database}",
        DUCKYCART_SANDBOX_PUBLIC="yes",
    )  # fmt: skip
    warning, starting = (await served.beginning())[:2]
    assert warning["level"] == "warning"
    assert "DUCKYCART_PUBLIC_URL" in warning["event"]
    address = own_address()
    shown = f"[{host}]" if ":" in host else host
    assert warning["url"] == starting["url"] == f"http://{address or shown}:{port}"
    with closing(sqlite3.connect(served.database)) as database:
        await until(lambda: database.execute("SELECT url FROM shop_address").fetchall() == [(starting["url"],)])


async def test_a_new_database_is_made_in_a_new_folder(served: Served) -> None:
    served.database = served.database.parent / "new" / "shop.db"
    await served.start()
    answer = await served.ask("GET", "/readyz")
    assert answer is not None
    assert answer.json() == {"status": "ready", "carts_connected": 0}


async def test_deviations_from_the_protocol_are_said_aloud(served: Served) -> None:
    await served.start(DUCKYCART_KEYLESS_CARTS="127.0.0.0/8, ::1/128")
    warning = (await served.beginning())[1]
    assert warning["level"] == "warning"
    assert warning["networks"] == "127.0.0.0/8, ::1/128"


@pytest.mark.parametrize(("log_format", "is_json"), [("auto", True), ("json", True), ("text", False)])
async def test_a_pipe_gets_json_unless_it_is_told_otherwise(served: Served, log_format: str, is_json: bool) -> None:
    await served.start(DUCKYCART_LOG_FORMAT=log_format)
    await until(lambda: "\n" in served.log.read_text())  # a thread writes it
    first = served.log.read_text().splitlines()[0]
    assert "starting" in first
    assert first.startswith("{") == is_json
