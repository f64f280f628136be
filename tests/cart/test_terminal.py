"""What people see, and what programs read."""

import io
import json

import pytest
import segno

from duckycart.cart.setup import Setup
from duckycart.cart.terminal import LinesDriver, TerminalDriver
from duckycart.testing.clock import ManualClock
from tests.cart.world import NOW, qr_token

URL = f"https://shop.example/s/{qr_token()}"


class Screen(io.TextIOWrapper):
    def __init__(self, *, tty: bool, encoding: str = "utf-8") -> None:
        super().__init__(io.BytesIO(), encoding=encoding)
        self._tty = tty

    def isatty(self) -> bool:
        return self._tty

    def text(self) -> str:
        """What was flushed so far."""
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue().decode(self.encoding)


def terminal(screen: Screen) -> TerminalDriver:
    return TerminalDriver(Setup(7, screen, ManualClock(NOW * 1000)))


def test_every_state_is_shown_at_once() -> None:
    screen = Screen(tty=False)
    driver = terminal(screen)
    for tell, word in (
        (driver.show_idle, "IDLE"),
        (lambda: driver.start_shopping(5), "SHOPPING"),
        (lambda: driver.hold_for_payment(5), "HELD"),
        (lambda: driver.show_qr(None), "the QR is on the screen"),
        (driver.return_to_idle, "thank you"),
        (lambda: driver.connection(True, "Connected."), "Connected."),
        (lambda: driver.connection(False, "Broken."), "Broken."),
        (lambda: driver.notice("No QR."), "No QR."),
    ):
        tell()
        assert word in screen.text().splitlines()[-1]


def test_the_qr_and_its_address() -> None:
    screen = Screen(tty=False)
    terminal(screen).show_qr(URL)
    assert URL in screen.text()
    drawn = [line for line in screen.text().splitlines() if "█" in line]
    assert len(drawn[0]) == segno.make_qr(URL, error="l").symbol_size()[0]


def test_a_qr_that_is_on_display_is_not_drawn_again_below_itself() -> None:
    screen = Screen(tty=False)
    driver = terminal(screen)
    for told in (driver.show_qr, driver.show_qr):
        told(URL)
    assert screen.text().count(URL) == 1
    driver.notice("A sentence.")
    driver.show_qr(URL)
    assert screen.text().count(URL) == 2
    driver.show_qr(URL + "2")
    assert screen.text().count(URL) == 3


def test_colours_only_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    for tty in (True, False):
        screen = Screen(tty=tty)
        driver = terminal(screen)
        driver.show_idle()
        driver.show_qr(URL)
        driver.connection(False, "Broken.")
        assert ("\x1b[" in screen.text()) is tty


def test_where_a_qr_cannot_be_drawn_its_address_stands_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    for screen in (Screen(tty=True), Screen(tty=False, encoding="ascii")):
        terminal(screen).show_qr(URL)
        assert URL in screen.text()
        assert "█" not in screen.text()
    endless = "https://shop.example/s/" + "x" * 5000
    screen = Screen(tty=False)
    terminal(screen).show_qr(endless)
    assert endless in screen.text()


def test_a_servers_words_cannot_drive_the_terminal() -> None:
    screen = Screen(tty=True)
    driver = terminal(screen)
    driver.notice("\x1b[2Jgone")
    driver.connection(False, "\x1b[2Jgone")
    driver.connection(True, "\x1b[2Jgone")
    driver.show_qr("https://shop.example/\x1b[2J\n")
    assert "\x1b[2J" not in screen.text()


def test_lines_for_programs() -> None:
    screen = Screen(tty=False)
    driver = LinesDriver(Setup(7, screen, ManualClock(NOW * 1000)))
    driver.show_idle()
    driver.connection(True, "Connected.")
    driver.show_qr(URL)
    driver.start_shopping(5)
    driver.hold_for_payment(5)
    driver.return_to_idle()
    driver.notice("two\nlines")
    lines = [json.loads(line) for line in screen.text().splitlines()]
    assert [(line.pop("at"), line.pop("cart")) for line in lines] == [("2030-03-17T17:46:40.000Z", 7)] * 7
    assert lines == [
        {"event": "show_idle"},
        {"event": "connection", "connected": True, "text": "Connected."},
        {"event": "show_qr", "url": URL},
        {"event": "start_shopping", "session": 5},
        {"event": "hold_for_payment", "session": 5},
        {"event": "return_to_idle"},
        {"event": "notice", "text": "two\nlines"},
    ]
