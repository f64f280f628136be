"""The smallest honest cart in Python 3.11 or newer. `pip install websockets`, and then:

DUCKYCART_KEY=… python cart.py 1 ws://127.0.0.1:8000
"""

import asyncio
import json
import os
import random
import secrets
import sys
import time
from contextlib import suppress

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, WebSocketException

FIRST, LONGEST = 0.5, 60.0  # seconds; the wait before a new try is drawn below a limit that doubles
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
        say("connected")
        with suppress(ConnectionClosed):
            async for message in socket:
                command = json.loads(message)
                cart.obey(command["type"], command["data"])
    return socket.close_code


async def main(cart_id: str, server: str, key: str) -> None:
    cart = Cart()  # is as old as the boot id: whoever keeps the one over a reboot keeps the other
    headers = {"X-API-Key": key, "Cart-Boot-Id": secrets.token_hex(8)}
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
    asyncio.run(main(sys.argv[1], sys.argv[2], os.environ["DUCKYCART_KEY"]))
