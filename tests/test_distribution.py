"""What people install: the wheel and the sdist are whole, and the wheel alone is a cart, or a server."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from asyncio.subprocess import PIPE
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

import pytest

from duckycart.testing.waiting import PATIENCE
from tests.lock import ROOT, constraints
from tests.world import Shop

BIN = Path(sys.executable).parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
VERSION = PROJECT["version"]
UNREACHABLE = ("NewConnectionError", "NameResolutionError", "ConnectTimeoutError")  # what pip says without a network


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command, on its own: no settings of this environment, no module of this tree."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("DUCKYCART_", "PYTHON"))}
    return subprocess.run(
        [str(part) for part in command], env=clean | environment, cwd="/", capture_output=True, text=True, check=False
    )


def done(*command: str | Path, **environment: str) -> str:
    """What the command printed, when it went well."""
    process = run(*command, **environment)
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


@dataclass(frozen=True)
class Installed:
    """A virtual environment that holds the wheel, what it asked for, and nothing else."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin/python"

    @property
    def duckycart(self) -> Path:
        return self.folder / "bin/duckycart"

    def refuses(self, *arguments: str) -> str:
        """The one sentence with which a command ends that cannot be done here."""
        process = run(self.duckycart, *arguments)
        assert (process.returncode, process.stdout) == (1, "")
        assert len(process.stderr.splitlines()) == 1, process.stderr
        return process.stderr.strip()


def install(wheel: Path, folder: Path, extra: str = "") -> Installed:
    """Install the wheel with an extra, in the versions of the lock file; skips where no registry can be reached."""
    installed = Installed(folder)
    done(sys.executable, "-m", "venv", "--without-pip", folder)
    ask_registry(
        "--python", installed.python, "install", "--quiet", "--no-compile",
        "--constraint", constraints(folder), f"{wheel}{extra}",
    )  # fmt: skip
    return installed


def ask_registry(*command: str | Path) -> None:
    """Have pip do this; skips where no registry can be reached."""
    process = run(BIN / "pip", *command)
    if os.environ.get("CI") != "true" and any(sign in process.stderr for sign in UNREACHABLE):
        pytest.skip("the wheel was NOT installed anew: no package registry can be reached")
    assert process.returncode == 0, process.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the sdist, made of this tree, and the wheel, made of the sdist alone."""
    folder = tmp_path_factory.mktemp("dist")
    done(BIN / "python", "-m", "build", "--no-isolation", "--outdir", folder, ROOT)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    return built / f"duckycart-{VERSION}-py3-none-any.whl"


def test_wheel_and_sdist_are_fit_to_be_published(built: Path, wheel: Path) -> None:
    done(BIN / "check-wheel-contents", "--config", ROOT / "pyproject.toml", wheel)
    done(BIN / "twine", "check", "--strict", *sorted(built.iterdir()))
    assert "duckycart/py.typed" in ZipFile(wheel).namelist()


def test_the_image_is_built_of_what_its_dockerfile_copies(tmp_path: Path) -> None:
    copied = re.findall(r"^COPY (?!--)(.+) \S+$", (ROOT / "deploy/Dockerfile").read_text(), re.MULTILINE)
    names = {name for line in copied for name in line.split()}
    let_in = (ROOT / "deploy/Dockerfile.dockerignore").read_text()
    assert names == set(re.findall(r"^!(.+)$", let_in, re.MULTILINE))
    for name in names:
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy2)(ROOT / name, tmp_path / name)
    done(
        BIN / "pip", "wheel", "--quiet", "--no-index", "--no-deps", "--no-build-isolation",
        "--wheel-dir", tmp_path / "wheels", tmp_path,
    )  # fmt: skip
    assert [path.name for path in (tmp_path / "wheels").iterdir()] == [f"duckycart-{VERSION}-py3-none-any.whl"]


def test_readme_and_deploy_name_this_version() -> None:
    texts = [path.read_text() for path in (ROOT / "README.md", *(ROOT / "deploy").rglob("*")) if path.is_file()]
    assert set(re.findall(r"duckycart(?:-upgrade)?[-:](\d+\.\d+\.\d+)", "".join(texts))) == {VERSION}


def test_what_users_will_notice_is_noted_in_a_form_that_the_changelog_takes() -> None:
    notes = [path.name for path in (ROOT / "changes").iterdir() if path.name != "README.md"]
    drawn = done(BIN / "towncrier", "build", "--draft", "--version", "next", "--dir", ROOT)
    for name in notes:
        assert re.fullmatch(r"\+[a-z0-9-]+\.(security|removed|changed|added|fixed)\.md", name), name
        assert " ".join((ROOT / "changes" / name).read_text().split()) in " ".join(drawn.split())


# Runs each command as `duckycart` would, with what it writes.
EACH = """
import io, json, sys
from duckycart import cli

for command in json.loads(sys.argv[1]):
    sys.argv = ["duckycart", *command]
    sys.stdin = io.StringIO("a password of an operator\\n")
    try:
        cli.main()
    except SystemExit as end:
        print(json.dumps([command, end.code]))
"""
# What makers of carts import: all but the kit's rows of a shop.
KIT = """
import pkgutil
from importlib import import_module

import duckycart.cart, duckycart.testing

for package in (duckycart.cart, duckycart.testing):
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        if module.name != "duckycart.testing.furnish":
            import_module(module.name)
"""
SERVERS = [
    ["serve"],
    ["demo", "--once"],
    ["nodes"],
    ["carts", "list"],
    ["carts", "add", "1"],
    ["carts", "show", "1"],
    ["products", "import", "products.csv"],
    ["users", "add", "you@example.com", "--operator"],
    ["sessions", "list"],
    ["sessions", "end", "1"],
    ["alarms", "list"],
    ["feedback", "export"],
    ["db", "upgrade"],
    ["db", "check"],
]


@pytest.mark.timeout(300)  # packages come from a registry
@pytest.mark.any_store
async def test_a_light_install_is_a_cart_and_says_what_a_server_needs(wheel: Path, tmp_path: Path, shop: Shop) -> None:
    light = install(wheel, tmp_path / "light")
    assert done(light.duckycart, "--version") == f"duckycart {VERSION}\n"
    done(light.python, "-c", KIT)
    answers = [json.loads(line) for line in done(light.python, "-c", EACH, json.dumps(SERVERS)).splitlines()]
    sentence = "Only the cart's program is installed here, and this is the server's: pip install 'duckycart[server]'"
    assert answers == [[command, sentence] for command in SERVERS]
    process = await asyncio.create_subprocess_exec(
        light.duckycart, "cart", "1", "--url", f"http://127.0.0.1:{shop.port}", "--key", shop.keys[1],
        "--driver", "lines", "--no-qr", cwd="/", stdout=PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        await shop.online()
        await shop.qr()
        async with asyncio.timeout(PATIENCE):
            while b'"show_qr"' not in (line := await process.stdout.readline()):
                assert line, "the cart ended"
    finally:
        process.terminate()
        await process.communicate()


def test_a_light_install_needs_neither_a_compiler_nor_a_wheel_of_its_machine(wheel: Path, tmp_path: Path) -> None:
    """As on Raspberry Pi OS of 32 bits: only wheels that are Python alone are taken."""
    ask_registry(
        "download", "--quiet", "--dest", tmp_path / "wheels", "--only-binary", ":all:", "--platform", "linux_armv7l",
        "--python-version", "3.11", "--implementation", "py", "--abi", "none",
        "--constraint", constraints(tmp_path), wheel,
    )  # fmt: skip
    names = [path.name for path in (tmp_path / "wheels").iterdir()]
    assert len(names) > 10
    assert all(name.endswith("-none-any.whl") for name in names), names


@pytest.mark.timeout(600)  # as above, three times as many
@pytest.mark.proof
def test_an_install_of_the_server_runs_a_session_and_says_what_more_there_is(wheel: Path, tmp_path: Path) -> None:
    server = install(wheel, tmp_path / "server", "[server]")
    told = done(server.duckycart, "demo", "--once", "--port", "0")
    assert 'received  {"type": "end_session", "data": 1}' in told
    assert "duckycart[postgres]" in server.refuses("serve", "--database", "postgresql+psycopg://shop@127.0.0.1/shop")
    assert "duckycart[postgres]" in server.refuses("db", "check", "--database", "postgresql+psycopg://shop@127.0.0.1/s")
    assert "duckycart[nats]" in server.refuses("serve", "--bus", "nats://127.0.0.1:4222")
