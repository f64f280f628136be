"""Drivers of others are found, and several work as one."""

import asyncio
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from duckycart.cart import drivers, stdin
from duckycart.cart.driver import Basket, Broken, Driver, Tell
from duckycart.cart.drivers import DriverFailed, NoDriver, Several, find, made, names
from duckycart.cart.heard import Heard, Scanned, Weighed
from duckycart.cart.setup import Setup, WrongSetting
from duckycart.testing.clock import ManualClock
from tests.cart.world import Notebook, cart, server

OF_ANOTHER = """
from duckycart.cart.driver import Driver
from duckycart.cart.heard import Weighed


class Bell(Driver):
    def __init__(self, setup):
        self.sound = setup.choice("sound", "ding", ("ding", "dong"))

    async def run(self, tell):
        tell(Weighed(5))
"""


def setup(name: str = "", **settings: object) -> Setup:
    return Setup(1, sys.stdout, ManualClock(0), settings)


def test_those_of_this_package_are_found() -> None:
    assert {"gpio", "lines", "scale", "scanner", "script", "terminal"} <= set(names())
    assert all(issubclass(find(name), Driver) for name in ("gpio", "lines", "scale", "scanner", "script", "terminal"))


def test_one_of_another_package_is_found_by_its_entry_point(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "bells.py").write_text(OF_ANOTHER)
    monkeypatch.syspath_prepend(tmp_path)
    entry = EntryPoint("bell", "bells:Bell", drivers.GROUP)
    monkeypatch.setattr(drivers, "entry_points", lambda **_: [entry])
    assert find("bell").__name__ == "Bell"


def test_one_that_lies_in_the_folder_is_found_by_module_and_class(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "my_bell.py").write_text(OF_ANOTHER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert find("my_bell:Bell").__name__ == "Bell"


def test_what_a_driver_needs_is_said_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("gpio", "duckycart.cart.nothing:Nothing", drivers.GROUP)
    monkeypatch.setattr(drivers, "entry_points", lambda **_: [entry])
    with pytest.raises(NoDriver, match=r"pip install 'duckycart\[gpio\]'"):
        find("gpio")


@pytest.mark.parametrize("name", ["nothing", "nothing:Nothing", "json:nothing", "json:dumps", ":", "a:b:c"])
def test_what_is_no_driver_is_said(name: str) -> None:
    with pytest.raises(NoDriver):
        find(name)


def test_settings_that_nobody_asks_for_are_refused() -> None:
    with pytest.raises(WrongSetting, match="is it device"):
        made(["scanner"], lambda name: setup(name, devise="x"))


async def test_all_are_told_in_their_order_and_all_are_heard() -> None:
    one, two = Notebook(), Notebook()
    both = Several([("one", one), ("two", two)])
    told: list[Heard] = []
    await both.run(told.append)
    one.tell(Scanned(1))
    two.tell(Weighed(2))
    assert told == [Scanned(1), Weighed(2)]
    both.show_idle()
    both.show_qr(None)
    both.start_shopping(7)
    both.hold_for_payment(7)
    both.return_to_idle()
    both.basket(Basket((), "0"))
    both.connection(True, "Connected.")
    both.notice("Look.")
    assert one.told == two.told
    assert [entry[0] for entry in one.told] == [
        *("show_idle", "show_qr", "start_shopping", "hold_for_payment", "return_to_idle"),
        *("basket", "connection", "notice"),
    ]


class Smoking(Notebook):
    def start_shopping(self, session_id: int) -> None:
        raise RuntimeError("smoke")

    async def check(self) -> str:
        raise Broken("It smokes: call somebody.")


async def test_one_that_fails_is_named() -> None:
    both = Several([("fine", Notebook()), ("hot", Smoking())])
    with pytest.raises(DriverFailed, match="the driver hot failed: RuntimeError: smoke"):
        both.start_shopping(7)
    assert list(await both.checks()) == [("fine", "nothing to try", True), ("hot", "It smokes: call somebody.", False)]


async def test_one_that_fails_while_it_hears_ends_the_program() -> None:
    class Deaf(Notebook):
        async def run(self, tell: Tell) -> None:
            raise RuntimeError("deaf")

    async with server() as shop, cart(shop.url, driver=Several([("ear", Deaf())])) as program:
        with pytest.raises(ExceptionGroup) as failed:
            await asyncio.wait_for(asyncio.shield(program.running), 20)
        assert failed.value.subgroup(DriverFailed) is not None


def test_standard_input_is_for_one() -> None:
    stdin.release()
    stdin.claim("scanner")
    stdin.claim("scanner")
    with pytest.raises(stdin.Taken, match="scanner and scale both read standard input"):
        stdin.claim("scale")
    stdin.release()
