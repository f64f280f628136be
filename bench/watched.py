"""The server with somebody in its event loop who notes how late each turn comes: `python -m bench.watched serve …`.

At SIGUSR2 what was noted since the last one is appended to the file that BENCH_LAG names: a line of seconds.
"""

import asyncio
import os
import signal
from pathlib import Path
from time import perf_counter

import uvloop

from duckycart.cli import main

EVERY = 0.002  # seconds between two turns that are due
make_loop = uvloop.new_event_loop


class Watch:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._late: list[float] = []
        self._wait()

    def _wait(self) -> None:
        self._loop.call_later(EVERY, self._turn, perf_counter() + EVERY)

    def _turn(self, due: float) -> None:
        self._late.append(max(0.0, perf_counter() - due))
        self._wait()

    def write(self) -> None:
        late, self._late = self._late, []
        with Path(os.environ["BENCH_LAG"]).open("a") as file:
            file.write(" ".join(f"{seconds:.6f}" for seconds in late) + "\n")


def watched_loop() -> asyncio.AbstractEventLoop:
    loop = make_loop()
    loop.add_signal_handler(signal.SIGUSR2, Watch(loop).write)
    return loop


if __name__ == "__main__":
    uvloop.new_event_loop = watched_loop  # type: ignore[assignment]  # where uvicorn gets its loop
    main()
