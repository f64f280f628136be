"""How long a server takes from its start until it is ready, and how much CPU: `python -m bench.start [ROUNDS]`.

On a file that exists, as at every restart. Beside it, in turn, what it costs to load the three libraries that nothing
of this can do without: only the ratio of the two says something on a machine that does other things too.
"""

import http.client
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from bench.process import free_port, memory_kib, running

ROUNDS = 7
BOUND = 50
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


def main() -> None:
    rounds = min(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS, BOUND)
    with TemporaryDirectory() as folder:
        environment = os.environ | {"DUCKYCART_DATABASE": f"sqlite:///{Path(folder) / 'bench.db'}"}
        port = free_port()
        with running([*SERVE, str(port)], port, **environment):
            ready(port)  # the file is made, and everything is compiled
        libraries()
        pairs = [(libraries(), server(environment)) for _ in range(rounds)]
    print(f"{'':34}{'seconds':>10}{'CPU':>10}")
    base = [median(pair[0][column] for pair in pairs) for column in (0, 1)]
    ours = [median(pair[1][column] for pair in pairs) for column in (0, 1)]
    ratio = [median(pair[1][column] / pair[0][column] for pair in pairs) for column in (0, 1)]
    print(f"{LIBRARIES:34}{base[0]:10.2f}{base[1]:10.2f}")
    print(f"{'start to ready':34}{ours[0]:10.2f}{ours[1]:10.2f}")
    print(f"{'ratio':34}{ratio[0]:10.2f}{ratio[1]:10.2f}")
    print(f"{'memory when ready, KiB':34}{median(pair[1][2] for pair in pairs):10.0f}")


if __name__ == "__main__":
    main()
