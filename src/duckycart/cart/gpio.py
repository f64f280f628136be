"""Lights, a buzzer, a lock and buttons on the pins of a Raspberry Pi, by their BCM numbers (gpiozero).

[gpio]
shopping_light = 17
lock = 27              # a relay: closed while nothing may be taken
help_button = 22
"""

import asyncio
from typing import Any, Final

from duckycart.cart.driver import Broken, Driver, Tell, for_ever
from duckycart.cart.heard import Pressed
from duckycart.cart.setup import Setup

LIGHTS: Final = ("idle", "qr", "shopping", "held", "offline")
BUTTONS: Final = ("help", "take_back")
PINS: Final = 27  # BCM numbers of the header
BEEP_SECONDS: Final = 0.1


class GpioDriver(Driver):
    """Shows each state by a light of its own, and hears buttons. A pin that is not named is not used."""

    def __init__(self, setup: Setup) -> None:
        self._light_pins = {name: setup.whole(f"{name}_light", None, 0, PINS) for name in LIGHTS}
        self._button_pins = {name: setup.whole(f"{name}_button", None, 0, PINS) for name in BUTTONS}
        self._buzzer_pin = setup.whole("buzzer", None, 0, PINS)
        self._lock_pin = setup.whole("lock", None, 0, PINS)
        self._lock_active_high = setup.flag("lock_active_high", True)
        self._bounce = setup.number("bounce", 0.05, 0, 1)
        self._state = "idle"
        self._online = False
        self._lights: dict[str, Any] = {}
        self._buzzer: Any = None
        self._lock: Any = None

    async def run(self, tell: Tell) -> None:
        devices = self._opened(tell)
        try:
            self._show()
            await for_ever()
        finally:
            for device in devices:
                device.close()

    async def check(self) -> str:
        try:
            devices = self._opened(lambda heard: None)
        except Exception as error:  # gpiozero has many for pins that cannot be used, and each says what it is
            raise Broken(f"the pins cannot be used: {error}") from error
        for device in devices:
            device.close()
        return f"{len(devices)} of lights, buttons, buzzer and lock"

    def _opened(self, tell: Tell) -> list[Any]:
        from gpiozero import LED, Button, Buzzer, OutputDevice  # only for who has pins

        loop = asyncio.get_running_loop()
        devices: list[Any] = []
        try:
            for name, pin in self._light_pins.items():
                if pin is not None:
                    self._lights[name] = LED(pin)
                    devices.append(self._lights[name])
            if self._buzzer_pin is not None:
                self._buzzer = Buzzer(self._buzzer_pin)
                devices.append(self._buzzer)
            if self._lock_pin is not None:
                self._lock = OutputDevice(self._lock_pin, active_high=self._lock_active_high)
                devices.append(self._lock)
            for name, pin in self._button_pins.items():
                if pin is not None:
                    button = Button(pin, bounce_time=self._bounce or None)
                    # Called in a thread of gpiozero's.
                    button.when_pressed = lambda name=name: loop.call_soon_threadsafe(tell, Pressed(name))
                    devices.append(button)
        except BaseException:
            for device in devices:
                device.close()
            raise
        return devices

    def _became(self, state: str) -> None:
        self._state = state
        self._show()

    def _show(self) -> None:
        for name, light in self._lights.items():
            on = not self._online if name == "offline" else name == self._state
            light.on() if on else light.off()
        if self._lock is not None:
            self._lock.on() if self._state == "held" else self._lock.off()

    def _beep(self, times: int) -> None:
        if self._buzzer is not None:
            self._buzzer.beep(BEEP_SECONDS, BEEP_SECONDS, times)

    def show_idle(self) -> None:
        self._became("idle")

    def show_qr(self, url: str | None) -> None:
        self._became("qr")

    def start_shopping(self, session_id: int) -> None:
        self._became("shopping")
        self._beep(1)

    def hold_for_payment(self, session_id: int) -> None:
        self._became("held")
        self._beep(2)

    def return_to_idle(self) -> None:
        self._became("idle")
        self._beep(1)

    def connection(self, connected: bool, sentence: str) -> None:
        self._online = connected
        self._show()

    def notice(self, sentence: str) -> None:
        self._beep(3)
