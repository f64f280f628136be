"""`duckycart cart` is the program that runs on the cart, for the command line."""

import asyncio
import io
import os
import signal
import ssl
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TextIO

import typer
from typer.core import TyperGroup

from duckycart import defaults
from duckycart.notify import notify, watchdog_seconds
from duckycart.outlet import terminate, write_behind
from duckycart.wire import MAX_ID

if TYPE_CHECKING:
    from duckycart.cart.config import Configuration
    from duckycart.cart.drivers import Several
    from duckycart.cart.program import CartProgram

_CART = "The cart's number on the server."
_URL = "Where the server is: http://host:8000, or https://host with TLS."
_KEY = (
    "The cart's key, shown once when the cart was created. Better in the environment or in the file: other users of "
    "this machine can read a command line. Not needed where the server lets carts in without one."
)
_DRIVER = (
    "The cart's hardware, more than once if it has several: terminal draws for people; lines writes one JSON object "
    "per event, for programs; scanner, scale, gpio; those of other packages; module:Class for one of your own."
)
_QR = "Ask the server for a QR while nobody shops; --no-qr where a screen shows it."
_CONFIG = "The cart's file; without this option /etc/duckycart/cart.toml, if it is there."
_CA = "A file with the certificate of the shop's own authority. Only what it signed is believed then."
_STATE = "A folder in which the cart keeps where it stands, so that it knows after the power failed."
_SCRIPT = "Be a cart by this script instead of by hardware: scan, put, take, wait, press, until, power-off."


KEY_FILE = Path("/etc/duckycart/key")


class NumberFirst(TyperGroup):
    """`duckycart cart 7` is `duckycart cart run 7`: what names no command is for the one that runs."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] != "--help"):
            args = ["run", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=NumberFirst,
    help="The program that runs on the cart. `duckycart cart 7` is short for `duckycart cart run 7`.",
    no_args_is_help=False,
)

CartId = Annotated[int | None, typer.Argument(min=1, max=MAX_ID, help=_CART, show_default=False)]
Url = Annotated[str | None, typer.Option("--url", envvar="DUCKYCART_URL", help=_URL)]
Key = Annotated[str | None, typer.Option("--key", envvar="DUCKYCART_KEY", help=_KEY)]
Drivers = Annotated[list[str] | None, typer.Option("--driver", envvar="DUCKYCART_DRIVERS", help=_DRIVER)]
AskForQr = Annotated[bool | None, typer.Option("--qr/--no-qr", help=_QR)]
ConfigFile = Annotated[Path | None, typer.Option("--config", envvar="DUCKYCART_CONFIG", help=_CONFIG)]
Authority = Annotated[Path | None, typer.Option("--ca", envvar="DUCKYCART_CA", help=_CA)]
State = Annotated[Path | None, typer.Option("--state", envvar="DUCKYCART_STATE", help=_STATE)]
Script = Annotated[Path | None, typer.Option("--simulate", help=_SCRIPT)]


@app.command()
def run(
    cart_id: CartId = None,
    url: Url = None,
    key: Key = None,
    driver: Drivers = None,
    qr: AskForQr = None,
    config: ConfigFile = None,
    ca: Authority = None,
    state: State = None,
    simulate: Script = None,
) -> None:
    """Be a cart: connect to the server and do what it commands, until Ctrl-C or SIGTERM.

    The commands come over a WebSocket: show a QR, start shopping, hold for payment, end. When the connection
    breaks, the cart comes back by itself, and the server tells it what it missed.

    Example: duckycart cart 7 --url https://shop.example:8000 --driver terminal --driver scanner
    """
    from duckycart.cart.drivers import DriverFailed

    chosen = Chosen(cart_id, url, key, driver, qr, config, ca, state, simulate)
    write_behind(chosen.lost, terminate)
    drivers = chosen.drivers(sys.stdout)
    program = chosen.program(drivers)
    try:
        asyncio.run(_until_signalled(program, drivers))
    except* DriverFailed as failed:
        _stop("; ".join(map(str, failed.exceptions)))


@app.command()
def check(
    cart_id: CartId = None,
    url: Url = None,
    key: Key = None,
    driver: Drivers = None,
    config: ConfigFile = None,
    ca: Authority = None,
) -> None:
    """Try everything once: server, certificate, clock, key, and each driver's hardware. Exit code 1 if anything fails.

    Example: duckycart cart check --config /etc/duckycart/cart.toml
    """
    from duckycart.cart.check import check as tried

    chosen = Chosen(cart_id, url, key, driver, None, config, ca, None)
    drivers = chosen.drivers(sys.stdout)

    async def all_found() -> bool:
        well = True
        async for found in tried(chosen.cart_id, chosen.url, chosen.key or None, chosen.tls(), drivers):
            well &= found.well
            typer.echo(f"{'ok  ' if found.well else 'FAIL'}  {found.what}: {found.sentence}")
        return well

    try:
        well = asyncio.run(all_found())
    except ValueError as error:
        _stop(str(error))
    if not well:
        raise typer.Exit(1)


@app.command()
def pair(
    code: Annotated[str, typer.Argument(help="As `duckycart carts claim-code` printed it at the server.")],
    url: Url = None,
    config: ConfigFile = None,
    ca: Authority = None,
    key_file: Annotated[
        Path | None, typer.Option("--key-file", help=f"Where the key goes; else the file's key_file, or {KEY_FILE}.")
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Without TLS, where nobody else is in the network between.")
    ] = False,
) -> None:
    """Get this cart's key from the server, by a claim code, into a file that only its owner can read.

    At the server, `duckycart carts claim-code 7` prints a code, good once, for ten minutes.
    A key that the cart had before is void from then on.
    If the network breaks, the same command goes on.

    Example: duckycart cart pair 7K3M-Q9XD --url https://shop.example:8000
    """
    from duckycart.cart.config import DEFAULT, WrongConfiguration, read
    from duckycart.cart.pairing import NotPaired
    from duckycart.cart.pairing import pair as paired

    try:
        file = read(config, with_key=False)
    except WrongConfiguration as error:
        _stop(str(error))
    target = (key_file or Path(file.key_file or KEY_FILE)).absolute()
    address = url or file.url or defaults.URL
    try:
        cart_id = asyncio.run(paired(code, address, target, _believing(ca, file), plain=plain))
    except (NotPaired, ValueError) as error:
        _stop(str(error))
    typer.echo(f"This is cart {cart_id}. Its key is in {target}, for its owner alone.")
    if (file.cart, file.url, file.key_file) != (cart_id, address, str(target)):
        lines = f'cart = {cart_id}\nurl = "{address}"\nkey_file = "{target}"'
        typer.echo(f"Write into {config or DEFAULT}, in the place of what is there of these:\n{lines}")


class Chosen:
    """What the command line, the environment and the file say together."""

    def __init__(
        self,
        cart_id: int | None,
        url: str | None,
        key: str | None,
        drivers: list[str] | None,
        qr: bool | None,
        config: Path | None,
        ca: Path | None,
        state: Path | None,
        script: Path | None = None,
    ) -> None:
        """Read the file. Ends the process with a sentence for one that cannot be used."""
        from duckycart.cart.config import WrongConfiguration, read

        try:
            self.file: Configuration = read(config)
        except WrongConfiguration as error:
            _stop(str(error))
        self.cart_id = self._the_cart(cart_id)
        self.url = url or self.file.url or defaults.URL
        self.key = key or self.file.key
        named = [name for value in drivers or () for name in value.split(",")]
        self.names = named or list(self.file.drivers or ()) or ["terminal"]
        self.qr = qr if qr is not None else self.file.qr is not False
        self._ca = ca
        systemd = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
        folder = state or self.file.state or systemd
        self.state = Path(folder) if folder else None
        self._script = script
        if script is not None:
            self.names = [*(named or ["terminal"]), "script"]

    def _the_cart(self, cart_id: int | None) -> int:
        cart_id = cart_id or self.file.cart
        if cart_id is None:
            _stop("Which cart is this? duckycart cart 7, or cart = 7 in its file.")
        return cart_id

    def drivers(self, out: TextIO) -> "Several":
        """Make the drivers. Ends the process with a sentence for settings that cannot be used."""
        from duckycart.cart.drivers import NoDriver, made
        from duckycart.cart.setup import Setup, WrongSetting
        from duckycart.clock import SystemClock

        def setup_of(name: str) -> Setup:
            settings = dict(self.file.tables.get(name, {}))
            if name == "script":
                settings["file"] = str(self._script)
            elif self._script is not None and name == "terminal":
                settings["keyboard"] = False
            return Setup(self.cart_id, out, SystemClock(), settings)

        unused = self.file.tables.keys() - {*self.names}
        if unused and self.file.source is not None:
            name = min(unused)
            _stop(str(self.file.source.wrong(name, "is a table of a driver that is not among `drivers`")))
        try:
            return made(self.names, setup_of)
        except NoDriver as error:
            _stop(f"{error}")
        except WrongSetting as error:
            if self.file.source is not None and error.driver in self.file.tables:
                _stop(str(self.file.source.wrong(error.name, str(error), error.driver)))
            _stop(f"{error.driver}.{error.name} {error}")

    def tls(self) -> ssl.SSLContext | None:
        """Return what believes the shop's own authority, if one is given. Ends the process where it cannot be read."""
        return _believing(self._ca, self.file)

    def program(self, drivers: "Several") -> "CartProgram":
        """Make the program. Ends the process with a sentence for what cannot be."""
        from duckycart.cart.program import CartProgram

        journal = None
        if self.state is not None:
            try:
                self.state.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                _stop(f"The folder {self.state} cannot be made: {error.strerror}")
            journal = self.state / f"cart-{self.cart_id}.json"
        try:
            return CartProgram(
                self.cart_id,
                self.url,
                drivers,
                key=self.key or None,
                ask_for_qr=self.qr,
                journal=journal,
                tolerance=self.file.tolerance or 15,
                tls=self.tls(),
            )
        except ValueError as error:
            raise typer.BadParameter(f"{error} (given as an option, or as DUCKYCART_URL and DUCKYCART_KEY)") from None

    def lost(self, count: int) -> str:
        """Return the line that says how many lines nobody took."""
        from duckycart.cart.driver import Driver
        from duckycart.cart.drivers import find
        from duckycart.cart.setup import Setup
        from duckycart.clock import SystemClock

        line = io.StringIO()
        writes: type[Driver] = find("lines" if "lines" in self.names else "terminal")
        writes(Setup(self.cart_id, line, SystemClock())).notice(f"{count} lines were lost, nobody took them")
        return line.getvalue()


def _believing(ca: Path | None, file: "Configuration") -> ssl.SSLContext | None:
    """Return what believes the shop's own authority, if one is given. Ends the process where it cannot be read."""
    ca = ca or (Path(file.ca) if file.ca else None)
    if ca is None:
        return None
    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        _stop(f"The authority's certificate {ca} cannot be used: {error}")


def _stop(sentence: str) -> NoReturn:
    typer.echo(sentence, err=True)
    raise typer.Exit(1)


async def _until_signalled(program: "CartProgram", drivers: "Several") -> None:
    running = asyncio.current_task()
    assert running is not None
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signal_number, running.cancel)
    notify("READY=1")
    feeding = asyncio.create_task(_feed(drivers))
    with suppress(asyncio.CancelledError):
        await program.run()
    feeding.cancel()
    notify("STOPPING=1")


async def _feed(drivers: "Several") -> None:
    """Tell a watchdog, if there is one, that the loop turns and the drivers do their work."""
    seconds = watchdog_seconds()
    while seconds is not None:
        if drivers.alive():
            notify("WATCHDOG=1")
        await asyncio.sleep(seconds)
