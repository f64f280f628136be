"""What the cart's program takes of a small machine

The wheel of this tree is installed as `pip install duckycart` does it, with its compiled modules and without pip's own
files. Beside the program, in the same environment, a bare client of the websockets library, which connects and hears.
CPU is that of the whole process; memory is what belongs to the process alone, when it is connected and nobody shops.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

from tests.lock import ROOT, constraints

from bench.figures import Figure, Target
from bench.process import memory_kib
from bench.shop import furnish, serving, sqlite_file
from bench.start import children_cpu

MIB: Final = 2**20
BARE: Final = """
import asyncio, sys
from websockets.asyncio.client import connect
async def hear():
    async with connect(sys.argv[1], additional_headers={"X-API-Key": sys.argv[2]}) as socket:
        print("connected", flush=True)
        async for frame in socket:
            print(frame)
asyncio.run(hear())
"""


def measure(quick: bool) -> Iterator[Figure]:
    with TemporaryDirectory() as folder:
        python = Path(folder) / "venv/bin/python"
        yield Figure("installed", installed(Path(folder), python) / MIB, "MiB", target=Target(25))
        program = [str(python), "-m", "duckycart", "cart"]
        bare = [str(python), "-c", "import websockets.asyncio.client"]
        pairs = [(cpu([*program, "--help"]), cpu(bare)) for _ in range(2 if quick else 9)]
        ours, theirs = (median(pair[place] for pair in pairs) for place in (0, 1))
        yield Figure("CPU of cart --help", ours, "s", "import of websockets", theirs, Target(0.3))
        with sqlite_file() as path, serving(path, furnish(path, 2)) as server:
            (first, key), (_, other) = server.shop.keys.items()
            url = f"127.0.0.1:{server.port}"
            options = ["--url", f"http://{url}", "--driver", "lines", "--no-qr"]
            with connected([*program, str(first), *options], b"Connected", DUCKYCART_KEY=key) as pid:
                ours = memory_kib(pid) / 1024
            command = [str(python), "-c", BARE, f"ws://{url}/ws/hardware/{first + 1}", other]
            with connected(command, b"connected") as pid:
                yield Figure("memory, idle", ours, "MiB", "bare client", memory_kib(pid) / 1024, Target(30))


def installed(folder: Path, python: Path) -> int:
    """Install the wheel; returns the bytes of all that came with it."""
    run([sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(folder), str(ROOT)])
    run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")])
    (wheel,) = folder.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "--python", str(python)]
    run([*pip, "install", "--constraint", str(constraints(folder)), str(wheel)])
    return sum(file.lstat().st_size for file in (folder / "venv").rglob("*"))


def run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")


def cpu(command: list[str]) -> float:
    began = children_cpu()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return children_cpu() - began


@contextmanager
def connected(command: list[str], sign: bytes, **environment: str) -> Iterator[int]:
    """Start this, wait until it writes a line with `sign`, give its process id, stop it."""
    process = subprocess.Popen(command, env=os.environ | environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        while sign not in (line := process.stdout.readline()):
            if not line:
                raise SystemExit(f"{command!r} ended with {process.wait()}")
        time.sleep(1)  # what connecting took is given back
        yield process.pid
    finally:
        process.terminate()
        process.communicate()
