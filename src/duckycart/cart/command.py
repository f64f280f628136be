"""`duckycart cart` is the program that runs on the cart, for the command line."""

import asyncio
import io
import signal
import sys
from contextlib import suppress
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from duckycart.outlet import terminate, write_behind
from duckycart.wire import MAX_ID

if TYPE_CHECKING:
    from duckycart.cart.program import CartProgram


class DriverKind(StrEnum):
    TERMINAL = "terminal"
    LINES = "lines"


_URL = "Where the server is: http://host:8000, or https://host with TLS."
_KEY = (
    "The cart's key, shown once when the cart was created. Better in the environment: other users of this "
    "machine can read a command line. Not needed where the server lets carts in without one."
)
_DRIVER = "terminal draws for people; lines writes one JSON object per event, for programs."
_QR = "Ask the server for a QR while nobody shops; --no-qr where a screen shows it."


def cart(
    cart_id: Annotated[int, typer.Argument(min=1, max=MAX_ID, help="The cart's number on the server.")],
    url: Annotated[str, typer.Option("--url", envvar="DUCKYCART_URL", help=_URL)] = "http://127.0.0.1:8000",
    key: Annotated[str | None, typer.Option("--key", envvar="DUCKYCART_KEY", help=_KEY)] = None,
    driver: Annotated[DriverKind, typer.Option("--driver", help=_DRIVER)] = DriverKind.TERMINAL,
    qr: Annotated[bool, typer.Option("--qr/--no-qr", help=_QR)] = True,
) -> None:
    """Be a cart: connect to the server and do what it commands, until Ctrl-C or SIGTERM.

    The commands come over a WebSocket: show a QR, start shopping, hold for payment, end. When the connection
    breaks, the cart comes back by itself, and the server tells it what it missed.
    """
    # An HTTP client and a QR's pictures, which every other command would have to load as well.
    from duckycart.cart.program import CartProgram
    from duckycart.cart.terminal import LinesDriver, TerminalDriver
    from duckycart.clock import SystemClock

    clock = SystemClock()
    kind = TerminalDriver if driver is DriverKind.TERMINAL else LinesDriver

    def lost(count: int) -> str:
        line = io.StringIO()
        kind(cart_id, line, clock).notice(f"{count} lines were lost, nobody took them")
        return line.getvalue()

    write_behind(lost, terminate)
    try:
        program = CartProgram(
            cart_id, url, kind(cart_id, sys.stdout, clock), key=key or None, ask_for_qr=qr, clock=clock
        )
    except ValueError as error:
        raise typer.BadParameter(f"{error} (given as an option, or as DUCKYCART_URL and DUCKYCART_KEY)") from None
    asyncio.run(_until_signalled(program))


async def _until_signalled(program: "CartProgram") -> None:
    running = asyncio.current_task()
    assert running is not None
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signal_number, running.cancel)
    with suppress(asyncio.CancelledError):
        await program.run()
