"""What a connected cart costs

Carts connect to this server (key checked, cart claimed durably, caught up, pings answered) and to a plain FastAPI
WebSocket route (nothing of that), one after the other in the same run. Where Debian's nginx with nchan is installed
(libnginx-mod-nchan), the same carts connect to that too: C, nothing durable, nothing confirmed. Memory is what belongs
to the process alone.
"""

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.figures import Figure, Target
from bench.process import cpu_seconds, free_port, memory_kib, running, started
from bench.shop import furnish, serving, sqlite_file
from duckycart.testing.crowd import connect_all
from duckycart.testing.endpoint import Endpoint

AT_ONCE = 64
AT_LEAST = 2000  # connects that are measured; a few carts come again and again
WARM_UP = 100  # carts that connect first, so that what is loaded once is not counted
NCHAN = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
NGINX = """
load_module {module};
daemon off; master_process off; error_log /dev/null; pid {folder}/pid;
events {{ worker_connections 30000; }}
http {{
    access_log off; client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    uwsgi_temp_path {folder}; scgi_temp_path {folder};
    server {{
        listen 127.0.0.1:{port};
        location ~ ^/ws/hardware/(\\d+)$ {{ nchan_subscriber websocket; nchan_channel_id $1; }}
    }}
}}
"""


def measure(quick: bool) -> Iterator[Figure]:
    counts = (100, 300) if quick else (100, 1000, 10_000)
    keys: dict[int, str] = {}
    for count in counts:
        with sqlite_file() as path, serving(path, furnish(path, count + WARM_UP), DUCKYCART_CONNECTS="1000") as server:
            keys = server.shop.keys
            ours = asyncio.run(connect(server.port, server.pid, keys))
        port = free_port()
        with running(["-m", "bench.plain_route", str(port)], port) as pid:
            plain = asyncio.run(connect(port, pid, keys))
        last = count == counts[-1]
        names = "plain FastAPI route"
        memory, cpu = (Target(3.5), Target(0.6, ratio=True)) if last else (None, None)
        yield Figure(f"memory per idle cart, {count:,}", ours[0], "KiB", names, plain[0], memory)
        yield Figure(f"CPU per connect, {count:,}", ours[1], "µs", names, plain[1], cpu)
    with nchan() as found:
        if found is not None:
            beside = asyncio.run(connect(*found, keys))
            yield Figure(f"memory per idle cart, {counts[-1]:,}", ours[0], "KiB", "nginx with nchan", beside[0])
            yield Figure(f"CPU per connect, {counts[-1]:,}", ours[1], "µs", "nginx with nchan", beside[1])


async def connect(port: int, pid: int, keys: dict[int, str]) -> tuple[float, float]:
    """(KiB per cart, µs of CPU per connect) of the server."""
    ids = list(keys)
    crowd = await connect_all(Endpoint(port), {cart_id: keys[cart_id] for cart_id in ids[:WARM_UP]}, AT_ONCE)
    rest = {cart_id: keys[cart_id] for cart_id in ids[WARM_UP:]}
    memory, cpu = memory_kib(pid), cpu_seconds(pid)
    rounds = -(-AT_LEAST // len(rest))
    for number in range(rounds):
        if number > 0:
            for cart in crowd[WARM_UP:]:
                cart.close()
            del crowd[WARM_UP:]
        crowd += await connect_all(Endpoint(port), rest, AT_ONCE)
        if number == 0:
            await asyncio.sleep(1)  # receipts and logs of the last ones
            memory = memory_kib(pid) - memory
    await asyncio.sleep(1)
    cpu = cpu_seconds(pid) - cpu
    for cart in crowd:
        cart.close()
    return memory / len(rest), cpu * 1e6 / len(rest) / rounds


@contextmanager
def nchan() -> Iterator[tuple[int, int] | None]:
    """(port, process id) of an nginx with nchan; None, said aloud, where there is none."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin")
    if program is None or not NCHAN.exists():
        print("  nginx with nchan is left out: apt install nginx libnginx-mod-nchan", file=sys.stderr)
        yield None
        return
    port = free_port()
    with TemporaryDirectory() as folder:
        Path(folder, "nginx.conf").write_text(NGINX.format(module=NCHAN, folder=folder, port=port))
        process = subprocess.Popen([program, "-c", f"{folder}/nginx.conf", "-e", "/dev/null"])
        with started(process, port):
            yield port, process.pid
