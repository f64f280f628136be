"""A scale writes a line for each weight, on a serial line or to standard input.

The lines of common scales are understood: a number with a sign, a point or comma, and a unit, among words that say
whether it rests (`ST,GS,+  1.234kg`, `S S 1.234 kg`, `US,NT, -0.5 kg`, `1030`). What the program hears is a weight that
has come to rest: the middle of several readings, which has not moved for a while.
"""

import asyncio
import re
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from duckycart.cart import stdin
from duckycart.cart.driver import Broken, Driver, Tell
from duckycart.cart.hardware import kept_open
from duckycart.cart.heard import Weighed
from duckycart.cart.setup import Setup

GRAMS: Final = {"g": 1.0, "kg": 1000.0, "lb": 453.59237, "oz": 28.349523125}
MOST: Final = 1_000_000  # grams; more is a broken scale
MAX_LINE: Final = 200  # bytes
_WEIGHT: Final = re.compile(r"([+-]?)\s*(\d{1,9}(?:[.,]\d{1,6})?)\s*(kg|g|lb|oz)?\s*$", re.IGNORECASE)
_MOVES: Final = re.compile(r"^\s*(US\b|S\s+D\b|D\b|M\b)")  # words by which scales say that it does not rest yet


@dataclass(frozen=True, slots=True)
class Reading:
    grams: float
    rests: bool  # as far as the scale says


def reading(line: str, unit: str) -> Reading | None:
    """Return the weight that a line says, in `unit` where it names none; None for a line without one."""
    found = _WEIGHT.search(line.strip())
    if found is None:
        return None
    grams = float(found[2].replace(",", ".")) * GRAMS[(found[3] or unit).lower()]
    if grams > MOST:
        return None
    return Reading(-grams if found[1] == "-" else grams, _MOVES.match(line) is None)


class Rest:
    """Finds out when a scale rests: readings that stay within `noise` grams for `seconds`."""

    def __init__(self, noise: float, seconds: float, of: int) -> None:
        """Look for rest in the middle of the last `of` readings."""
        self._noise = noise
        self._seconds = seconds
        self._last: deque[float] = deque(maxlen=of)
        self._at: float | None = None  # the weight that may be resting
        self._since = 0.0
        self._told: float | None = None

    def take(self, found: Reading, now: float) -> int | None:
        """Take a reading of this moment. Returns the weight at rest when it is another than the one before."""
        self._last.append(found.grams)
        grams = median(self._last)
        if self._at is None or not found.rests or abs(grams - self._at) > self._noise:
            self._at, self._since = grams, now
            if not found.rests:
                return None
        if now - self._since < self._seconds:
            return None
        if self._told is not None and abs(grams - self._told) <= self._noise:
            return None
        self._told = grams
        return round(grams)


class ScaleDriver(Driver):
    """Hears a scale; `device` is its serial line, or `stdin`."""

    def __init__(self, setup: Setup) -> None:
        self._device = setup.text("device", stdin.NAME)
        self._baud = int(setup.number("baud", 9600, 300, 1_000_000))
        self._unit = setup.choice("unit", "g", GRAMS)
        self._noise = setup.number("noise", 3, 0, 1000)
        self._settle = setup.number("settle", 0.6, 0, 10)
        self._filter = int(setup.number("filter", 5, 1, 100))

    async def run(self, tell: Tell) -> None:
        rest = Rest(self._noise, self._settle, self._filter)
        clock = asyncio.get_running_loop().time

        def use(line: str) -> None:
            if (found := reading(line, self._unit)) is not None and (grams := rest.take(found, clock())) is not None:
                tell(Weighed(grams))

        if self._device == stdin.NAME:
            async for line in stdin.lines("scale"):
                use(line)
            return
        await kept_open("scale", self._lines, tell, use)

    async def check(self) -> str:
        if self._device == stdin.NAME:
            return "weights are read from standard input"
        lines = self._lines()
        try:
            async with asyncio.timeout(3):
                async for line in lines:
                    if (found := reading(line, self._unit)) is not None:
                        return f"{found.grams:.0f} g at {self._device}"
        except TimeoutError:
            raise Broken(f"{self._device} says nothing that is a weight: is it {self._baud} baud, and on?") from None
        except PermissionError as error:
            raise Broken(f"{self._device} may not be read: add this user to the group dialout") from error
        except OSError as error:
            raise Broken(f"{self._device}: {error.strerror or error}; plugged in? ls -l /dev/serial/by-id") from error
        finally:
            await lines.aclose()
        raise Broken(f"{self._device} ended")

    async def _lines(self) -> Any:
        """Yield the lines of the serial line. Raises OSError when it is not there, or not any more."""
        import serial  # only for who has a scale

        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[str | OSError] = asyncio.Queue(1000)
        port = serial.Serial(self._device, self._baud, timeout=0.2)
        over = threading.Event()

        def put(what: str | OSError) -> None:
            if not queue.full():
                queue.put_nowait(what)

        def read() -> None:
            half = b""
            try:
                while not over.is_set():
                    half += port.read(max(1, port.in_waiting))
                    *lines, half = re.split(rb"[\r\n]+", half)
                    half = half[-MAX_LINE:]
                    for line in lines:
                        if line:
                            loop.call_soon_threadsafe(put, line.decode("ascii", "replace"))
            except OSError as error:
                with suppress(RuntimeError):  # the loop has ended
                    loop.call_soon_threadsafe(put, error)
            except (RuntimeError, TypeError, ValueError):
                pass  # the loop has ended, or the line was closed while it was read
            finally:
                port.close()

        threading.Thread(target=read, name="scale", daemon=True).start()
        try:
            while True:
                what = await queue.get()
                if isinstance(what, OSError):
                    raise what
                yield what
        finally:
            over.set()
