"""The smallest honest cart in Python 3.11 or newer. `pip install websockets`, and then:

DUCKYCART_KEY=… python cart.py 1 ws://127.0.0.1:8000

A barcode reader is a keyboard: a barcode on standard input puts one unit in, with a minus before it one is taken out.
"""

import asyncio
import json
import os
import random
import secrets
import sys
import threading
import time
from contextlib import suppress
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, WebSocketException

FIRST, LONGEST = 0.5, 60.0  # seconds; the wait before a new try is drawn below a limit that doubles
ANSWER = 10.0  # seconds for a call
STEADY = 10.0  # seconds a connection must have lasted for that limit to start again
TAKEN_OVER = 4409  # somebody else connects as this cart: do not fight for it


class Cart:
    """Where the cart stands. Your display, scanner and lock go where it prints."""

    def __init__(self) -> None:
        self.session: int | None = None  # None: nobody shops
        self.held = False  # the session is to be paid

    def obey(self, command: str, session: int | None) -> None:
        """Compare with the state: a command that the server says again after a broken link changes nothing."""
        if command == "generate_qr" and self.session is None:
            say("show the QR")
        elif command in ("session_started", "payment_created"):
            if session != self.session:
                if self.session is not None:
                    say("back to idle")
                self.session, self.held = session, False
                say(f"session {session}: empty the basket, start shopping")
            if command == "payment_created" and not self.held:
                self.held = True
                say(f"session {session}: nothing in, nothing out")
        elif command == "end_session" and session == self.session:
            self.session, self.held = None, False
            say("back to idle")


def say(text: str) -> None:
    print(text, flush=True)


async def one_connection(url: str, headers: dict[str, str], cart: Cart) -> int | None:
    """From the handshake to the end; the close code. The library answers the pings, and sends its own."""
    async with connect(url, additional_headers=headers) as socket:
        say("connected; nothing comes before somebody asks for a QR")
        with suppress(ConnectionClosed):
            async for message in socket:
                command = json.loads(message)
                cart.obey(command["type"], command["data"])
    return socket.close_code


def change_basket(server: str, headers: dict[str, str], session: int, barcode: str) -> str:
    """One unit in, or with a minus one out; what the server says. Asks again until there is an answer.

    When a connection dies nobody knows whether the call was done, and some libraries repeat it unasked. The key tells
    the server that it is the same call: however often it comes, it is done once.
    """
    method, path = ("DELETE", "remove") if barcode.startswith("-") else ("POST", "add")
    body = json.dumps({"sessionID": session, "barcode": int(barcode.lstrip("-"))}).encode()
    once = {**headers, "Content-Type": "application/json", "Idempotency-Key": secrets.token_hex(8)}
    request = Request(f"http{server.removeprefix('ws')}/cart-items/{path}", body, once, method=method)
    while True:
        try:
            with urlopen(request, timeout=ANSWER) as answer:
                item = json.load(answer)
            return f"{path} {barcode}: {(item.get('item', item) or {'quantity': 0})['quantity']} in the basket"
        except HTTPError as error:
            if error.code < 500 and error.code != 429:
                return f"{path} {barcode}: {json.load(error)['detail']}"
        except OSError:
            pass  # it may have been done
        time.sleep(random.uniform(0, 2 * FIRST))


def scan(server: str, headers: dict[str, str], cart: Cart) -> None:
    """In a thread of its own, so that slow calls keep nobody from answering pings."""
    for line in sys.stdin:
        if cart.session is not None and line.strip().lstrip("-").isdecimal():
            say(change_basket(server, headers, cart.session, line.strip()))


async def main(cart_id: str, server: str, key: str) -> None:
    cart = Cart()  # is as old as the boot id: whoever keeps the one over a reboot keeps the other
    headers = {"X-API-Key": key, "Cart-Boot-Id": secrets.token_hex(8)}
    threading.Thread(target=scan, args=(server, headers, cart), daemon=True).start()
    limit = FIRST
    while True:
        began = time.monotonic()
        try:
            code = await one_connection(f"{server}/ws/hardware/{cart_id}", headers, cart)
            why = f"closed with {code}"
            if code != TAKEN_OVER and time.monotonic() - began > STEADY:
                limit = FIRST
        except (OSError, WebSocketException) as error:  # nobody there, or the handshake was refused
            why = str(error) or type(error).__name__
        wait = random.uniform(0, limit)
        limit = min(limit * 2, LONGEST)
        say(f"not connected: {why}; next try in {wait:.1f} s")
        await asyncio.sleep(wait)


if __name__ == "__main__":
    if len(sys.argv) != 3 or not os.environ.get("DUCKYCART_KEY"):
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1], sys.argv[2], os.environ["DUCKYCART_KEY"]))
