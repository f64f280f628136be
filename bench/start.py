"""How long a server takes from its start until it is ready

On a file that exists, as at every restart. Beside it, in turn, what it costs to load the three libraries that nothing
of this can do without.
"""

import http.client
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from statistics import median

from bench.figures import Figure, Target
from bench.process import free_port, memory_kib, running
from bench.shop import sqlite_file

LIBRARIES = "import fastapi, uvicorn, sqlalchemy"
SERVE = ["-m", "duckycart", "serve", "--port"]


def children_cpu() -> float:
    """Seconds of CPU that ended children took."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def ready(port: int) -> None:
    while True:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        except ConnectionRefusedError:
            pass
        time.sleep(0.005)


def libraries() -> tuple[float, float]:
    """Seconds, and seconds of CPU."""
    began, cpu = time.perf_counter(), children_cpu()
    subprocess.run([sys.executable, "-c", LIBRARIES], check=True)
    return time.perf_counter() - began, children_cpu() - cpu


def server(environment: dict[str, str]) -> tuple[float, float, int]:
    """Seconds until it is ready, seconds of CPU of start and stop, KiB when it is ready."""
    port = free_port()
    began, cpu = time.perf_counter(), children_cpu()
    process = subprocess.Popen(
        [sys.executable, *SERVE, str(port)], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        ready(port)
        seconds = time.perf_counter() - began
        memory = memory_kib(process.pid)
    finally:
        process.terminate()
        process.wait(30)
    return seconds, children_cpu() - cpu, memory


def measure(quick: bool) -> Iterator[Figure]:
    with sqlite_file() as path:
        environment = os.environ | {"DUCKYCART_DATABASE": f"sqlite:///{path}"}
        port = free_port()
        with running([*SERVE, str(port)], port, **environment):
            ready(port)  # the file is made, and everything is compiled
        libraries()
        pairs = [(libraries(), server(environment)) for _ in range(2 if quick else 7)]
    loaded = [median(pair[0][column] for pair in pairs) for column in (0, 1)]
    ours = [median(pair[1][column] for pair in pairs) for column in (0, 1)]
    yield Figure("start to ready", ours[0], "s", LIBRARIES, loaded[0], Target(0.7))
    yield Figure("CPU of start and stop", ours[1], "s", LIBRARIES, loaded[1])
    yield Figure("memory when ready", median(pair[1][2] for pair in pairs) / 1024, "MiB")
