"""A person can follow the demo by its transcript: time, who, what."""

import asyncio
import json
import sys
from collections import defaultdict
from datetime import datetime
from typing import Any, Final

_WIDTH: Final = 8
_COLOURS: Final = {"server": "36", "cart": "33", "shopper": "32", "demo": "35"}
_WORDS: Final = {
    "get_qr": "a QR was asked for",
    "create_session": "QR scanned: session saved, cart in use",
    "begin_payment": "basket frozen, payment asked for",
    "open_payment": "payment saved",
    "settle_payment": "paid",
    "finish_session": "session over, cart available, analytics written",
}


class Transcript:
    """Prints, and remembers what became of each command so that the demo can judge itself."""

    def __init__(self) -> None:
        self.commands: dict[int, list[str]] = {}  # by seq: queued, sent, received, superseded, in the order it happened
        self.errors: list[str] = []
        self._receipts: defaultdict[int, asyncio.Event] = defaultdict(asyncio.Event)

    async def received(self, seq: int) -> None:
        """Wait until the log has had this command's receipt."""
        await self._receipts[seq].wait()

    def say(self, who: str, what: str) -> None:
        at = datetime.now().astimezone().strftime("%H:%M:%S.%f")[:-3]
        name = f"{who:<{_WIDTH}}"
        if sys.stdout.isatty():
            name = f"\x1b[{_COLOURS[who]}m{name}\x1b[0m"
        print(f"{at}  {name}  {what}", flush=True)  # noqa: T201 - this is what it is for

    def server_line(self, line: str) -> None:
        """Take in one line of the server's JSON log."""
        try:
            event: dict[str, Any] = json.loads(line)
        except ValueError:
            self.say("server", line.rstrip())
            return
        what = str(event.get("event"))
        if what.startswith("command "):
            self._command(event, what.removeprefix("command "))
        elif what == "transition":
            if (words := _WORDS.get(event["what"])) is not None:
                self.say("server", words + _session(event))
        elif what in ("cart connected", "cart disconnected", "cart refused"):
            why = f", {event['reason']}" if "reason" in event else ""
            self.say("server", f"{what}: cart {event.get('cart')}{why}")
        elif event.get("level") in ("warning", "error", "critical"):
            if event["level"] != "warning":
                self.errors.append(what)
            self.say("server", f"{what}: {event.get('reason') or event.get('detail') or event.get('networks') or ''}")

    def _command(self, event: dict[str, Any], state: str) -> None:
        if "type" not in event:  # a receipt by the cart's own call; the pong's line says the rest
            return
        self.commands.setdefault(event["seq"], []).append(state)
        if state == "received":
            self._receipts[event["seq"]].set()
        session = event.get("session")
        frame = f'{{"type": "{event["type"]}", "data": {"null" if session is None else session}}}'
        self.say("server", f"command {event['seq']} {state:<8}  {frame}")

    def cart_line(self, line: str) -> str:
        """Take in one line of the cart program; returns which event it was."""
        event: dict[str, Any] = json.loads(line)
        match event["event"]:
            case "show_qr":
                text = "shows the QR" if event.get("url") else "prepares for a QR"
            case "start_shopping":
                text = f"shopping mode, session {event['session']}"
            case "hold_for_payment":
                text = f"holds everything for the payment, session {event['session']}"
            case "return_to_idle":
                text = "back to idle"
            case "show_idle":
                text = "idle"
            case "basket":
                text = f"{sum(item['quantity'] for item in event['items'])} in the basket, {event['total']}"
            case _:
                text = str(event.get("text", event["event"]))
        self.say("cart", text)
        return str(event["event"])


def _session(event: dict[str, Any]) -> str:
    session = event.get("session")
    return "" if session is None else f", session {session}"
