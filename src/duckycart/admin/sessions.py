"""`duckycart sessions` and `duckycart alarms` show what an operator has to know, and end what nobody else can."""

from typing import Annotated

import typer

from duckycart import defaults
from duckycart.admin.shell import DatabaseOption, JsonOption, Shell, table
from duckycart.wire import MAX_ID

app = typer.Typer(no_args_is_help=True, help="See who is shopping, and end a session that nobody else can end.")
alarms_app = typer.Typer(no_args_is_help=True, help="What an operator has to look at.")


@app.command("list")
def list_(database: DatabaseOption = defaults.DATABASE, as_json: JsonOption = False) -> None:
    """List the active sessions, the longest without a sign of life first.

    For a program: duckycart sessions list --json
    """
    from duckycart.admin.overview import active_sessions

    with Shell(database, as_json) as shell:
        with shell.open().connect() as connection:
            listed = active_sessions(connection)
        rows = [
            (one["session_id"], one["cart_id"], one["user_id"], one["units"], one["payment"] or "-", one["touched_at"])
            for one in listed
        ]
        shell.answer(
            {"sessions": listed}, table(("SESSION", "CART", "SHOPPER", "UNITS", "PAYMENT", "LAST SIGN OF LIFE"), *rows)
        )


@app.command()
def end(
    session: Annotated[int, typer.Argument(metavar="ID", min=1, max=MAX_ID, show_default=False)],
    database: DatabaseOption = defaults.DATABASE,
    as_json: JsonOption = False,
) -> None:
    """End a session whatever its state: an abandoned basket, a payment that hangs. The cart goes back to idle.

    A payment still open is cancelled at its provider by the server.

    Example: duckycart sessions end 42
    """
    from duckycart.lifecycle.access import ByOperator
    from duckycart.lifecycle.rules import Rules
    from duckycart.lifecycle.sessions import force_end

    with Shell(database, as_json) as shell:
        ended = shell.write(lambda tx: force_end(tx, ByOperator(None), session, Rules()))
        shell.answer(
            {"session_id": session, "cart_id": ended.cart_id, "seq": ended.seq},
            f"Session {session} is over; cart {ended.cart_id} is told within seconds, or when it is back.",
        )


@alarms_app.command("list")
def alarms(
    newest: Annotated[int, typer.Option(min=1, max=10_000, help="How many, the newest first.")] = 50,
    database: DatabaseOption = defaults.DATABASE,
    as_json: JsonOption = False,
) -> None:
    """List the alarms: money that fits nothing, baskets left alone.

    For a program: duckycart alarms list --json
    """
    from duckycart.admin.overview import newest_alarms

    with Shell(database, as_json) as shell:
        with shell.open().connect() as connection:
            listed = newest_alarms(connection, newest)
        rows = [
            (one["at"], one["kind"], one["cart_id"] or "-", one["session_id"] or "-", one["detail"]) for one in listed
        ]
        shell.answer({"alarms": listed}, table(("AT", "KIND", "CART", "SESSION", "WHAT"), *rows))
