"""This module is the shell's side of DuckyCart: `duckycart --help`."""

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import typer

from duckycart import defaults, environment
from duckycart.admin import carts, database, feedback, products, sessions, tls, users
from duckycart.admin.nodes import nodes
from duckycart.cart import command as cart
from duckycart.outlet import terminate, write_behind

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from duckycart.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="The server for smart shopping carts, and the program that runs on the cart.",
    pretty_exceptions_enable=False,
)


# What `pip install duckycart` leaves out, by the first module that a command of the server misses of it.
_LEFT_OUT: Final = {
    **dict.fromkeys(
        ("alembic", "cryptography", "fastapi", "pwdlib", "pydantic", "pydantic_settings", "sqlalchemy", "structlog"),
        "Only the cart's program is installed here, and this is the server's: pip install 'duckycart[server]'",
    ),
    "psycopg": "The driver for PostgreSQL is not installed here: pip install 'duckycart[postgres]'",
    "nats": "The client of NATS is not installed here, and a bus needs it: pip install 'duckycart[nats]'",
}


def _need(module: str) -> None:
    """Raise ModuleNotFoundError now for a module that would only be imported when it is too late for a plain
    sentence."""
    if find_spec(module) is None:
        raise ModuleNotFoundError(name=module)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"duckycart {version('duckycart')}")
        raise typer.Exit


@app.callback()
def _commands(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Say which version this is.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Every command explains itself: `duckycart serve --help`."""
    context.obj = environment.tidy(os.environ)
    if context.invoked_subcommand != "serve":  # which says it in its log
        for note in context.obj:
            typer.echo(str(note), err=True)


def _stop(sentence: str) -> NoReturn:
    typer.echo(sentence, err=True)
    raise typer.Exit(1)


def _settings(**given: Any) -> "Settings":
    """Return the settings of the environment, and over them what the command line gave."""
    from pydantic import ValidationError

    from duckycart.settings import Settings

    try:
        return Settings(**{name: value for name, value in given.items() if value not in (None, "", Path())})
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(str(part) for part in first["loc"]) or "settings"
        problem = first["msg"].removeprefix("Value error, ")
        _stop(f"{name}: {problem} (given on the command line or as DUCKYCART_{name.upper()})")


def _refuse_public_sandbox(settings: "Settings", host: str) -> None:
    from duckycart.own_address import is_loopback

    if settings.payment_provider == "sandbox" and not is_loopback(host) and settings.sandbox_public == "no":
        _stop(
            f"The sandbox takes no money, so it does not listen on {host} unasked. "
            "Set DUCKYCART_SANDBOX_PUBLIC=yes for a trial, or configure a payment provider."
        )


def _reachable(settings: "Settings", log: "FilteringBoundLogger") -> "Settings":
    """Return the settings with an address that a phone can open, where the server listens on all and was told none."""
    if settings.public_url is not None or settings.host not in ("0.0.0.0", "::"):  # noqa: S104 - what was asked for
        return settings
    from duckycart.own_address import own_address

    address = own_address()
    if address is None:
        log.warning("no phone can open the QRs: set DUCKYCART_PUBLIC_URL", url=settings.url)
        return settings
    found = settings.model_copy(update={"host": address})
    log.warning("phones are sent to this machine's address in the network; set DUCKYCART_PUBLIC_URL", url=found.url)
    return settings.model_copy(update={"public_url": found.url})


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the garbage collector off for the block: what is loaded in it stays for ever, and to look through it all the
    time is a sixth of the start."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@app.command()
def serve(
    context: typer.Context,
    host: Annotated[str, typer.Option(help="Address to listen on.", envvar="DUCKYCART_HOST")] = defaults.HOST,
    port: Annotated[int, typer.Option(help="For HTTP and WebSocket.", envvar="DUCKYCART_PORT")] = defaults.PORT,
    database: Annotated[
        str,
        typer.Option(
            help="sqlite:///FILE (made and migrated if need be) or postgresql+psycopg://USER:PASSWORD@HOST/NAME.",
            envvar="DUCKYCART_DATABASE",
        ),
    ] = defaults.DATABASE,
    bus: Annotated[
        str | None,
        typer.Option(
            help="NATS servers, nats://HOST:4222[,…], between several servers on one PostgreSQL database.",
            envvar="DUCKYCART_BUS",
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(help="Certificate chain (PEM): serves https and wss.", envvar="DUCKYCART_TLS_CERT")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key (PEM).", envvar="DUCKYCART_TLS_KEY")] = None,
    fd: Annotated[
        list[int] | None,
        typer.Option(
            help="A listening socket that whoever starts this keeps open over restarts, instead of host and port. "
            "May be given several times. What systemd passes is taken without being named."
        ),
    ] = None,
) -> None:
    """Run the server: HTTP for screens and phones, a WebSocket for every cart, on one port.

    Everything else is set by DUCKYCART_… variables; see docs/settings.md. Stop it with Ctrl-C or SIGTERM.
    """
    with _uncollected():
        import structlog

        from duckycart import logs
        from duckycart.app import build_app
        from duckycart.errors import DuckyCartError
        from duckycart.inherited import NotListening, adopt, from_systemd
        from duckycart.server import raise_file_limit, run
        from duckycart.store.database import open_database

    try:
        inherited = adopt(fd or from_systemd(os.environ, os.getpid()))
    except NotListening as error:
        _stop(str(error))
    addresses = [sock.getsockname() for sock in inherited]
    if addresses:
        host, port, *_ = addresses[0]
    settings = _settings(host=host, port=port, database=database, bus=bus, tls_cert=tls_cert, tls_key=tls_key)
    if settings.bus:
        _need("nats")
    write_behind(logs.lost_line)
    logs.configure(settings.log_format)
    log = structlog.get_logger()
    for note in context.obj or ():
        log.warning(note.event, variables=", ".join(note.names))
    settings = _reachable(settings, log)
    for listening in (address[0] for address in addresses or [(settings.host,)]):
        _refuse_public_sandbox(settings, listening)
    for file in (settings.tls_cert, settings.tls_key, settings.bus_credentials, settings.bus_ca):
        if file is not None and not file.is_file():
            _stop(f"{file} is not there or not a file.")
    try:
        opened = open_database(settings.database, alone=not settings.bus, currency=settings.wanted_currency)
    except DuckyCartError as error:
        _stop(str(error))
    except OSError as error:
        _stop(f"The database cannot be opened: {error.strerror}: {error.filename}")
    carts = raise_file_limit()
    log.info("starting", url=settings.url, database=opened.name, carts_allowed=carts, inherited=len(inherited))
    if settings.keyless_carts:
        networks = ", ".join(map(str, settings.keyless_carts))
        log.warning("carts need no key from some networks, as the protocol document shows it", networks=networks)
    if settings.tls_cert is not None and settings.plain_carts:
        networks = ", ".join(map(str, settings.plain_carts))
        log.warning("carts need no TLS from some networks; their keys can be read on the way", networks=networks)
    run(build_app(settings, opened), settings, inherited)


@app.command()
def demo(
    once: Annotated[
        bool, typer.Option("--once", help="End after the session; the exit code says whether it went well.")
    ] = False,
    port: Annotated[int, typer.Option(help="Port to try first; any free one if it is taken.")] = defaults.PORT,
    lan: Annotated[
        bool, typer.Option("--lan", help="Listen on the network's address, so that real phones can shop. Without TLS.")
    ] = False,
) -> None:
    """See it work: a server, a cart and a shopper go through a whole session, on a new database that is thrown away.

    Then the shop stays open, to be shopped in by hand; it prints how.
    """
    import asyncio
    from contextlib import suppress
    from tempfile import TemporaryDirectory

    from duckycart.demo.run import DemoFailed, run_demo

    _need("sqlalchemy")  # of the server, which is a process of its own here
    write_behind(lambda count: f"… {count} lines were lost, nobody took them …\n", terminate)
    with TemporaryDirectory(prefix="duckycart-demo-") as folder, suppress(asyncio.CancelledError):
        try:
            asyncio.run(run_demo(Path(folder), port, once=once, lan=lan))
        except (DemoFailed, TimeoutError) as error:
            _stop(f"The demo failed. {error}")


app.command()(nodes)
app.add_typer(cart.app, name="cart")
app.add_typer(carts.app, name="carts")
app.add_typer(products.app, name="products")
app.add_typer(users.app, name="users")
app.add_typer(sessions.app, name="sessions")
app.add_typer(sessions.alarms_app, name="alarms")
app.add_typer(feedback.app, name="feedback")
app.add_typer(database.app, name="db")
app.add_typer(tls.app, name="tls")


def main() -> None:
    """Run the command line: the entry point `duckycart`."""
    try:
        app()
    except ModuleNotFoundError as missing:
        sentence = _LEFT_OUT.get((missing.name or "").partition(".")[0])
        if sentence is None:
            raise
        sys.exit(sentence)
