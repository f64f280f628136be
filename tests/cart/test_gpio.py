"""Lights, buzzer, lock and buttons, on gpiozero's own mock pins."""

import sys
from collections.abc import Iterator
from typing import Any

import pytest

gpiozero = pytest.importorskip("gpiozero")
from gpiozero.pins.mock import MockFactory  # noqa: E402

from duckycart.cart.driver import Broken  # noqa: E402
from duckycart.cart.gpio import GpioDriver  # noqa: E402
from duckycart.cart.heard import TAKE_BACK, Pressed  # noqa: E402
from duckycart.cart.setup import Setup, WrongSetting  # noqa: E402
from duckycart.testing.clock import ManualClock  # noqa: E402
from duckycart.testing.waiting import until  # noqa: E402
from tests.cart.world import driven  # noqa: E402

PINS = {"idle_light": 5, "qr_light": 6, "shopping_light": 4, "held_light": 17, "offline_light": 27, "lock": 22,
        "help_button": 10, "take_back_button": 9, "buzzer": 11, "bounce": 0}  # fmt: skip


@pytest.fixture
def pins() -> Iterator[Any]:
    before = gpiozero.Device.pin_factory
    gpiozero.Device.pin_factory = factory = MockFactory()
    yield factory
    factory.reset()
    gpiozero.Device.pin_factory = before


def driver(**settings: object) -> GpioDriver:
    return GpioDriver(Setup(1, sys.stdout, ManualClock(0), settings or PINS))


def lit(pins: Any) -> list[int]:
    return [number for number in (5, 6, 4, 17, 27, 22) if pins.pin(number).state]


async def test_each_state_has_its_light_and_the_lock_holds_while_it_is_paid(pins: Any) -> None:
    hardware = driver()
    async with driven(hardware):
        await until(lambda: lit(pins) == [5, 27])  # idle, and not connected
        hardware.connection(True, "Connected.")
        assert lit(pins) == [5]
        hardware.show_qr(None)
        assert lit(pins) == [6]
        hardware.start_shopping(7)
        assert lit(pins) == [4]
        hardware.hold_for_payment(7)
        assert lit(pins) == [17, 22]
        hardware.return_to_idle()
        assert lit(pins) == [5]
        hardware.notice("Look here.")


async def test_buttons_are_heard(pins: Any) -> None:
    async with driven(driver()) as told:
        await until(lambda: lit(pins))
        pins.pin(10).drive_low()
        pins.pin(10).drive_high()
        pins.pin(9).drive_low()
        await until(lambda: len(told) == 2)
        assert told == [Pressed("help"), TAKE_BACK]


async def test_what_is_not_wired_is_not_used_and_states_before_the_pins_are_open_are_no_error(pins: Any) -> None:
    hardware = driver(shopping_light=4)
    hardware.show_idle()
    hardware.start_shopping(7)
    async with driven(hardware):
        await until(lambda: lit(pins) == [4])


async def test_the_check_opens_all_and_says_what_is_twice(pins: Any) -> None:
    assert await driver().check() == "9 of lights, buttons, buzzer and lock"
    with pytest.raises(Broken, match="pin"):
        await driver(shopping_light=4, held_light=4).check()


@pytest.mark.parametrize("settings", [{"lock": 99}, {"lock": "yes"}, {"held_light": True}, {"bounce": 2}])
def test_settings_are_checked(settings: dict[str, object]) -> None:
    with pytest.raises(WrongSetting) as wrong:
        driver(**settings)
    assert wrong.value.name == next(iter(settings))
