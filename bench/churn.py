"""Whether churn leaves anything behind: `python -m bench.churn [ROUNDS]`.

A thousand carts connect and are cut off, again and again. Memory after the first rounds is the reference for memory
after the last (fault F06).
"""

import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.process import free_port, memory_kib, running
from bench.shop import furnish
from duckycart.testing.crowd import connect_all
from duckycart.testing.endpoint import Endpoint

CARTS = 1000
WARM_UP = 4  # rounds
BOUND = 100  # rounds


async def churn(port: int, pid: int, keys: dict[int, str], rounds: int) -> int:
    """KiB of the server after so many rounds, once it has seen everybody go."""
    for _ in range(rounds):
        for cart in await connect_all(Endpoint(port), keys, 64):
            cart.close()
    await asyncio.sleep(2)
    return memory_kib(pid)


async def measure(port: int, pid: int, keys: dict[int, str], rounds: int) -> None:
    before = await churn(port, pid, keys, WARM_UP)
    after = await churn(port, pid, keys, rounds)
    print(f"{rounds * CARTS} connects and disconnects")
    print(f"{'memory before, KiB':32}{before:10}")
    print(f"{'memory after, KiB':32}{after:10}")
    print(f"{'ratio':32}{after / before:10.2f}")
    if after > before * 1.25:
        raise SystemExit("Connections leave memory behind.")


def main() -> None:
    rounds = min(int(sys.argv[1]) if len(sys.argv) > 1 else 20, BOUND)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "bench.db"
        keys = furnish(path, CARTS).keys
        port = free_port()
        environment = {"DUCKYCART_DATABASE": f"sqlite:///{path}", "DUCKYCART_CONNECTS": "1000000"}
        with running(["-m", "duckycart", "serve", "--port", str(port)], port, **environment) as pid:
            asyncio.run(measure(port, pid, keys, rounds))


if __name__ == "__main__":
    main()
