"""Drivers are found by their names, and several work as one."""

import asyncio
import importlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import Final

from duckycart.cart.driver import Basket, Broken, Driver, Tell
from duckycart.cart.setup import Setup, WrongSetting

GROUP: Final = "duckycart.drivers"


class NoDriver(ValueError):
    """There is no such driver; the sentence says what there is, or what to install."""


class DriverFailed(Exception):
    """A driver raised an exception that it should not; its name is in the sentence."""


def names() -> list[str]:
    """Return the names of all drivers that are installed, here and by other packages."""
    return sorted({entry.name for entry in entry_points(group=GROUP)})


def find(name: str) -> type[Driver]:
    """Return the driver of an entry point's name, or of `module:Class`. Raises NoDriver with a sentence."""
    if ":" in name:
        return _imported(*name.split(":", 1))
    for entry in entry_points(group=GROUP, name=name):
        try:
            found = entry.load()
        except ImportError as error:
            extra = f"pip install 'duckycart[{name}]'" if entry.value.startswith("duckycart.") else "see its package"
            raise NoDriver(f"the driver {name} needs {error.name}, which is not installed: {extra}") from error
        return _checked(name, found)
    raise NoDriver(f"there is no driver {name}; there are {', '.join(names())}, or module:Class for one of your own")


def _imported(module: str, attribute: str) -> type[Driver]:
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # a driver of one's own lies in the folder that one is in
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise NoDriver(f"the driver {module}:{attribute} cannot be imported: {error}") from error
    return _checked(f"{module}:{attribute}", found)


def _checked(name: str, found: object) -> type[Driver]:
    if not (isinstance(found, type) and issubclass(found, Driver)):
        raise NoDriver(f"{name} is no driver: it must be a subclass of duckycart.cart.driver.Driver")
    return found


class Several(Driver):
    """Drivers that work as one: each is told everything, in their order, and all are heard."""

    def __init__(self, drivers: Sequence[tuple[str, Driver]]) -> None:
        """Make one of these named drivers."""
        self._drivers = drivers

    async def run(self, tell: Tell) -> None:
        async with asyncio.TaskGroup() as tasks:
            for name, driver in self._drivers:
                tasks.create_task(self._heard(name, driver, tell))

    @staticmethod
    async def _heard(name: str, driver: Driver, tell: Tell) -> None:
        with _named(name):
            await driver.run(tell)

    async def checks(self) -> list[tuple[str, str, bool]]:
        """Try each; return (name, what was found, whether it is well)."""
        found = []
        for name, driver in self._drivers:
            try:
                found.append((name, await driver.check(), True))
            except (Broken, OSError) as error:
                found.append((name, str(error), False))
        return found

    def alive(self) -> bool:
        return all(driver.alive() for _, driver in self._drivers)

    def show_idle(self) -> None:
        self._each(lambda driver: driver.show_idle())

    def show_qr(self, url: str | None) -> None:
        self._each(lambda driver: driver.show_qr(url))

    def start_shopping(self, session_id: int) -> None:
        self._each(lambda driver: driver.start_shopping(session_id))

    def hold_for_payment(self, session_id: int) -> None:
        self._each(lambda driver: driver.hold_for_payment(session_id))

    def return_to_idle(self) -> None:
        self._each(lambda driver: driver.return_to_idle())

    def basket(self, basket: Basket) -> None:
        self._each(lambda driver: driver.basket(basket))

    def connection(self, connected: bool, sentence: str) -> None:
        self._each(lambda driver: driver.connection(connected, sentence))

    def notice(self, sentence: str) -> None:
        self._each(lambda driver: driver.notice(sentence))

    def _each(self, do: Callable[[Driver], None]) -> None:
        for name, driver in self._drivers:
            with _named(name):
                do(driver)


@contextmanager
def _named(name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise DriverFailed(f"the driver {name} failed: {type(error).__name__}: {error}") from error


def made(chosen: Sequence[str], setup_of: Callable[[str], Setup]) -> Several:
    """Make the drivers of these names, each with its part of the settings. Raises NoDriver, WrongSetting."""
    drivers = []
    for name in chosen:
        kind, setup = find(name), setup_of(name)
        try:
            drivers.append((name, kind(setup)))
            setup.refuse_others()
        except WrongSetting as error:
            error.driver = name
            raise
    return Several(drivers)
