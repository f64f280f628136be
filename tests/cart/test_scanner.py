"""Scanners type: what they type, and when they are pulled out."""

import asyncio
import errno
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from duckycart.cart import hardware, scanner
from duckycart.cart.driver import Broken
from duckycart.cart.heard import Heard, Noticed, Scanned
from duckycart.cart.scanner import ScannerDriver, Typed
from duckycart.cart.setup import Setup, WrongSetting
from duckycart.testing.clock import ManualClock
from duckycart.testing.waiting import until
from tests.cart.world import driven

MILK = 6221000000012
# As a Honeywell 1450g types it (evtest): each digit goes down and up, with a scan code and a report around it.
KEYS = {digit: code for code, digit in scanner._ROW.items()}
MISC, SYN, ENTER, SHIFT, A = (4, 4, 458792), (0, 0, 0), 28, 42, 30


def stroke(code: int) -> list[tuple[int, int, int]]:
    return [MISC, (1, code, 1), SYN, MISC, (1, code, 0), SYN]


def typed(digits: str) -> list[tuple[int, int, int]]:
    return [event for digit in digits for event in stroke(KEYS[digit])] + stroke(ENTER)


def shifted(digits: str) -> list[tuple[int, int, int]]:
    """As a scanner that is set to a French keyboard types digits."""
    events = []
    for digit in digits:
        events += [(1, SHIFT, 1), *stroke(KEYS[digit]), (1, SHIFT, 0)]
    return events + stroke(ENTER)


@dataclass
class Device:
    """An input device that types what was recorded, and then stays silent or is pulled out."""

    events: list[tuple[int, int, int]]
    pulled_out: bool = False
    grabbed: bool = False
    closed: bool = False
    name: str = "Honeywell Scanner"
    silent: asyncio.Event = field(default_factory=asyncio.Event)

    def grab(self) -> None:
        self.grabbed = True

    def close(self) -> None:
        self.closed = True

    async def async_read_loop(self) -> AsyncIterator[SimpleNamespace]:
        for kind, code, value in self.events:
            yield SimpleNamespace(type=kind, code=code, value=value)
        if self.pulled_out:
            raise OSError(errno.ENODEV, "No such device")
        await self.silent.wait()


def driver(**settings: object) -> ScannerDriver:
    return ScannerDriver(Setup(1, sys.stdout, ManualClock(0), settings))


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch) -> list[Device | OSError]:
    """What is found at the device's path, one after the other; the last stays."""
    found: list[Device | OSError] = []

    def opened(path: str) -> Device:
        assert path == "/dev/input/scanner"
        there = found.pop(0) if len(found) > 1 else found[0]
        if isinstance(there, OSError):
            raise there
        return there

    monkeypatch.setattr(scanner, "_opened", opened)
    monkeypatch.setattr(hardware, "AGAIN_SECONDS", 0)
    return found


async def heard(plugged: list[Device | OSError], count: int) -> list[Heard]:
    async with driven(driver(device="/dev/input/scanner")) as told:
        await until(lambda: len(told) >= count)
        return told


async def test_a_code_is_heard_at_its_end_and_nobody_else_hears_it(plugged: list[Device | OSError]) -> None:
    device = Device(typed(str(MILK)) + typed("0042"))
    plugged.append(device)
    assert await heard(plugged, 2) == [Scanned(MILK), Scanned(42)]
    assert device.grabbed
    assert device.closed


async def test_digits_are_read_on_any_layout(plugged: list[Device | OSError]) -> None:
    plugged.append(Device(shifted(str(MILK))))
    assert await heard(plugged, 1) == [Scanned(MILK)]


async def test_a_scanner_that_is_pulled_out_is_said_once_and_so_is_its_return(plugged: list[Device | OSError]) -> None:
    gone = OSError(errno.ENOENT, "No such file or directory")
    half = Device(typed("12")[:-6], pulled_out=True)  # no Enter any more
    plugged.extend([half, gone, gone, gone, Device(typed(str(MILK)))])
    told = await heard(plugged, 3)
    assert told[0] == Noticed("The scanner cannot be read, and is tried again each second: No such device.")
    assert told[1:] == [Noticed("The scanner is back."), Scanned(MILK)]  # and half a code is forgotten


async def test_what_is_no_number_is_said(plugged: list[Device | OSError]) -> None:
    plugged.append(Device(stroke(A) + typed("1") + typed("1" * 41) + stroke(ENTER) + typed("7")))
    told = await heard(plugged, 3)
    assert [type(one) for one in told] == [Noticed, Noticed, Scanned]


def test_the_keypad_s_digits_count_too() -> None:
    keys = Typed()
    for code in (79, 80, 81, 75, 76, 77, 71, 72, 73, 82):
        assert keys.key(code) is None
    assert keys.key(96) == "1234567890"
    assert keys.key(96) is None


async def test_the_check_says_what_is_there_and_what_to_do(plugged: list[Device | OSError]) -> None:
    scan = driver(device="/dev/input/scanner")
    plugged.append(Device([]))
    assert await scan.check() == "Honeywell Scanner at /dev/input/scanner"
    plugged[:] = [PermissionError(errno.EACCES, "Permission denied")]
    with pytest.raises(Broken, match="group input"):
        await scan.check()
    plugged[:] = [FileNotFoundError(errno.ENOENT, "No such file or directory")]
    with pytest.raises(Broken, match="plugged in"):
        await scan.check()


@pytest.mark.parametrize("device", [5, "", True])
def test_a_device_is_a_text(device: object) -> None:
    with pytest.raises(WrongSetting):
        driver(device=device)
