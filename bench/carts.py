"""What one connected cart costs: `python -m bench.carts [COUNT]`.

The same number of carts connects to DuckyCart (key checked, cart claimed durably, caught up, pings answered) and to a
plain FastAPI WebSocket route (nothing of that), one after the other in the same run.
"""

import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.process import cpu_seconds, free_port, memory_kib, running
from bench.shop import furnish
from duckycart.testing.crowd import connect_all
from duckycart.testing.endpoint import Endpoint

AT_ONCE = 64
WARM_UP = 100  # carts that connect first, so that what is loaded once is not counted
BOUND = 20_000


async def measure(port: int, pid: int, keys: dict[int, str]) -> tuple[float, float, float]:
    """(KiB per cart, µs of CPU per connect, connects per second) of the server."""
    ids = list(keys)
    first = {cart_id: keys[cart_id] for cart_id in ids[:WARM_UP]}
    rest = {cart_id: keys[cart_id] for cart_id in ids[WARM_UP:]}
    crowd = await connect_all(Endpoint(port), first, AT_ONCE)
    memory, cpu, started = memory_kib(pid), cpu_seconds(pid), asyncio.get_running_loop().time()
    crowd += await connect_all(Endpoint(port), rest, AT_ONCE)
    seconds = asyncio.get_running_loop().time() - started
    await asyncio.sleep(1)  # receipts and logs of the last ones
    result = (
        (memory_kib(pid) - memory) / len(rest),
        (cpu_seconds(pid) - cpu) * 1e6 / len(rest),
        len(rest) / seconds,
    )
    for cart in crowd:
        cart.close()
    return result


def main() -> None:
    count = min(int(sys.argv[1]) if len(sys.argv) > 1 else 2000, BOUND)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "bench.db"
        keys = furnish(path, count + WARM_UP).keys
        port = free_port()
        with running(
            ["-m", "duckycart", "serve", "--port", str(port)], port, DUCKYCART_DATABASE=f"sqlite:///{path}"
        ) as pid:
            ours = asyncio.run(measure(port, pid, keys))
        port = free_port()
        with running(["-m", "bench.plain_route", str(port)], port) as pid:
            plain = asyncio.run(measure(port, pid, keys))
    print(f"{count} carts connected at once")
    print(f"{'':32}{'DuckyCart':>12}{'plain route':>14}{'ratio':>8}")
    names = ("memory per cart, KiB", "CPU per connect, µs", "connects per second")
    for name, mine, theirs in zip(names, ours, plain, strict=True):
        print(f"{name:32}{mine:12.1f}{theirs:14.1f}{mine / theirs:8.2f}")
    if ours[0] >= plain[0]:
        raise SystemExit("A cart costs more memory than on a plain route.")


if __name__ == "__main__":
    main()
