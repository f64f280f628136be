"""A cart without hardware has its state drawn in a terminal, or written as lines for other programs.

Both hear what is typed or written to standard input.
"""

import json
import shutil
from datetime import UTC, datetime
from typing import TextIO

from duckycart.cart import stdin
from duckycart.cart.driver import Basket, Driver, Tell
from duckycart.cart.heard import MAX_DIGITS, TAKE_BACK, Pressed, Scanned, Weighed, barcode_of
from duckycart.cart.setup import Setup
from duckycart.clock import iso
from duckycart.drawn_qr import COLOURS, draw

_BLUE, _GREEN, _YELLOW, _RED, _GREY = "44;97", "42;30", "43;30", "31", "100;97"


class TerminalDriver(Driver):
    """For people: a banner for each state, a line for each event, the QR as blocks. A barcode that is typed is a scan,
    a minus takes the last item back.

    Colours only if `out` is a terminal. Where a QR cannot be drawn (a narrow terminal, an encoding without
    block characters) its URL stands alone.
    """

    def __init__(self, setup: Setup) -> None:
        self._cart_id = setup.cart_id
        self._out: TextIO = setup.out
        self._clock = setup.clock
        self._colours = setup.out.isatty()
        self._asks = setup.flag("keyboard", True)
        self._drawn: str | None = None  # the QR below which nothing was written since

    async def run(self, tell: Tell) -> None:
        if not self._asks:
            return
        async for line in stdin.lines("terminal"):
            words = line.strip()
            if (barcode := barcode_of(words)) is not None:
                tell(Scanned(barcode))
            elif words in ("-", "take back"):
                tell(TAKE_BACK)
            elif words:
                self.notice("Type a barcode to scan it, or - to take the last item back.")

    def basket(self, basket: Basket) -> None:
        for item in basket.items:
            self._line(f"  {item.quantity} x {_printable(item.description)}")
        waiting = f" ({basket.waiting} changes wait for the network)" if basket.waiting else ""
        self._line(f"  in all {basket.total}{waiting}")

    def show_idle(self) -> None:
        self._banner("IDLE", "waiting for a shopper", _GREY)

    def show_qr(self, url: str | None) -> None:
        if url is None:
            self._banner("SCAN", "the QR is on the screen", _BLUE)
            return
        if url == self._drawn:  # asked for by this cart itself: the answer came, and now the command
            return
        picture = self._picture(url)
        self._banner("SCAN", "scan to start shopping" if picture else "open this to start shopping", _BLUE)
        for line in picture:
            print(self._painted(line, COLOURS), file=self._out)
        print(_printable(url), file=self._out, flush=True)
        self._drawn = url

    def start_shopping(self, session_id: int) -> None:
        self._banner("SHOPPING", f"session {session_id}: put your things in", _GREEN)

    def hold_for_payment(self, session_id: int) -> None:
        self._banner("HELD", f"session {session_id} is to be paid: nothing in, nothing out", _YELLOW)

    def return_to_idle(self) -> None:
        self._banner("IDLE", "the session is over, thank you", _GREY)

    def connection(self, connected: bool, sentence: str) -> None:
        self._line(_printable(sentence) if connected else self._painted(sentence, _RED))

    def notice(self, sentence: str) -> None:
        self._line(_printable(sentence))

    def _banner(self, word: str, sentence: str, colour: str) -> None:
        self._line(f"{self._painted(f' {word} ', colour)} {sentence}")

    def _line(self, text: str) -> None:
        self._drawn = None
        moment = datetime.fromtimestamp(self._clock.now() / 1000, UTC).astimezone()
        print(f"{moment:%H:%M:%S}  cart {self._cart_id}  {text}", file=self._out, flush=True)

    def _painted(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{_printable(text)}\x1b[0m" if self._colours else _printable(text)

    def _picture(self, url: str) -> list[str]:
        """Return the QR line by line; empty if it cannot be drawn here."""
        lines = draw(url, self._out.encoding or "utf-8")
        too_wide = self._colours and lines and len(lines[0]) > shutil.get_terminal_size().columns
        return [] if too_wide else lines


class LinesDriver(Driver):
    """For programs: a JSON object per line, `{"at": …, "cart": …, "event": …}`.

    `event` is the name of the `Driver` method; its arguments follow as `url`, `session`, `connected`, `text`, `items`.
    What it hears comes in the same way: `{"scanned": 6221000000012}`, `{"weighed": 1030}`, `{"pressed": "take_back"}`.
    """

    def __init__(self, setup: Setup) -> None:
        self._cart_id = setup.cart_id
        self._out: TextIO = setup.out
        self._clock = setup.clock

    async def run(self, tell: Tell) -> None:
        async for line in stdin.lines("lines"):
            match _object(line):
                case {"scanned": int(barcode)} if 0 <= barcode < 10**MAX_DIGITS:
                    tell(Scanned(barcode))
                case {"weighed": int(grams)}:
                    tell(Weighed(grams))
                case {"pressed": str(button)}:
                    tell(Pressed(button))
                case _:
                    self.notice('A line must be {"scanned": BARCODE}, {"weighed": GRAMS} or {"pressed": BUTTON}.')

    def basket(self, basket: Basket) -> None:
        items = [{"barcode": item.barcode, "quantity": item.quantity} for item in basket.items]
        self._event("basket", items=items, total=basket.total, waiting=basket.waiting)

    def show_idle(self) -> None:
        self._event("show_idle")

    def show_qr(self, url: str | None) -> None:
        self._event("show_qr", url=url)

    def start_shopping(self, session_id: int) -> None:
        self._event("start_shopping", session=session_id)

    def hold_for_payment(self, session_id: int) -> None:
        self._event("hold_for_payment", session=session_id)

    def return_to_idle(self) -> None:
        self._event("return_to_idle")

    def connection(self, connected: bool, sentence: str) -> None:
        self._event("connection", connected=connected, text=sentence)

    def notice(self, sentence: str) -> None:
        self._event("notice", text=sentence)

    def _event(self, event: str, **fields: object) -> None:
        line = {"at": iso(self._clock.now()), "cart": self._cart_id, "event": event, **fields}
        print(json.dumps(line), file=self._out, flush=True)


def _object(line: str) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _printable(text: str) -> str:
    """Return the text without the control characters with which a server's words could drive the terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
