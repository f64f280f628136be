"""A barcode scanner is a Linux input device, or whatever writes a line for each code to standard input.

Scanners type as keyboards do. Digits are in the same place on every keyboard layout, so they are read by their place
and Shift does not matter (a French layout has it on digits); the device is grabbed, so nothing else sees what is typed.
"""

from collections.abc import AsyncIterator
from typing import Any, Final

from duckycart.cart import stdin
from duckycart.cart.driver import Broken, Driver, Tell
from duckycart.cart.hardware import kept_open
from duckycart.cart.heard import MAX_DIGITS, Noticed, Scanned, barcode_of
from duckycart.cart.setup import Setup

DOWN: Final = 1  # of a key event's value; 0 is up, 2 a repetition
KEY: Final = 1  # an event's type
_ROW: Final = {2 + place: str((place + 1) % 10) for place in range(10)}  # KEY_1 … KEY_0
_PAD: Final = dict(zip((79, 80, 81, 75, 76, 77, 71, 72, 73, 82), "1234567890", strict=True))
_DIGITS: Final = _ROW | _PAD
_ENDS: Final = frozenset({28, 96, 15})  # Enter, Enter of the keypad, Tab
_SHIFTS: Final = frozenset({42, 54, 29, 97, 56, 100, 58, 69})  # Shift, Control, Alt and the locks are no part of a code


class Typed:
    """What was typed since the last Enter."""

    def __init__(self) -> None:
        self._code = ""

    def key(self, code: int) -> str | None:
        """Take a key that went down, by its number in Linux. Returns the whole code at its end; a key that is no digit
        stands in it as `?`."""
        if code in _ENDS:
            whole, self._code = self._code, ""
            return whole or None
        if code not in _SHIFTS:
            self._code = (self._code + _DIGITS.get(code, "?"))[-MAX_DIGITS - 1 :]
        return None


class ScannerDriver(Driver):
    """Hears a barcode scanner; `device` is its path below /dev/input, best that of by-id, or `stdin`."""

    def __init__(self, setup: Setup) -> None:
        self._device = setup.text("device", stdin.NAME)

    async def run(self, tell: Tell) -> None:
        if self._device == stdin.NAME:
            async for line in stdin.lines("scanner"):
                self._scanned(line.strip(), tell)
            return
        await kept_open("scanner", self._codes, tell, lambda code: self._scanned(code, tell))

    async def check(self) -> str:
        if self._device == stdin.NAME:
            return "codes are read from standard input"
        try:
            device = _opened(self._device)
        except PermissionError as error:
            raise Broken(f"{self._device} may not be read: add this user to the group input") from error
        except OSError as error:
            raise Broken(f"{self._device}: {error.strerror}; plugged in? ls -l /dev/input/by-id") from error
        name: str = device.name
        device.close()
        return f"{name} at {self._device}"

    async def _codes(self) -> AsyncIterator[str]:
        device = _opened(self._device)
        typed = Typed()
        try:
            device.grab()
            async for event in device.async_read_loop():
                if event.type == KEY and event.value == DOWN and (code := typed.key(event.code)) is not None:
                    yield code
        finally:
            device.close()

    @staticmethod
    def _scanned(code: str, tell: Tell) -> None:
        if (barcode := barcode_of(code)) is not None:
            tell(Scanned(barcode))
        elif code:
            tell(Noticed("That code is no number, so no product has it."))


def _opened(path: str) -> Any:
    """Open an input device. Raises OSError."""
    from evdev import InputDevice  # compiled, so only for who has a scanner

    return InputDevice(path)
