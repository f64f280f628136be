"""`duckycart feedback` exports the answers of shoppers on the carts' screens."""

import csv
import io
from typing import Final

import typer

from duckycart import defaults
from duckycart.admin.shell import DatabaseOption, JsonOption, Shell

COLUMNS: Final = ("session_id", "created_at", "satisfaction", "selected_item_ids", "additional_comments")
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would compute

app = typer.Typer(no_args_is_help=True, help="What shoppers said on the carts' screens.")


@app.callback()
def _group() -> None:
    # Without a callback Typer would leave out the name of an only command.
    pass


@app.command()
def export(database: DatabaseOption = defaults.DATABASE, as_json: JsonOption = False) -> None:
    """Print all feedback as CSV, the oldest first. Also while the server runs.

    A text that a spreadsheet would take for a formula gets a ' before it.

    Example: duckycart feedback export > feedback.csv
    """
    from duckycart.clock import iso
    from duckycart.lifecycle.feedback import all_feedback

    with Shell(database, as_json) as shell:
        with shell.open().connect() as connection:
            given = list(all_feedback(connection))
        out = io.StringIO()
        lines = csv.writer(out, lineterminator="\n")
        lines.writerow(COLUMNS)
        for one in given:
            ticked = " ".join(map(str, one.selected_item_ids))
            row = one.session_id, iso(one.created_at), one.satisfaction, ticked, one.additional_comments
            lines.writerow(map(_harmless, row))
        rows = [
            {
                "session_id": one.session_id,
                "created_at": iso(one.created_at),
                "satisfaction": one.satisfaction,
                "selected_item_ids": one.selected_item_ids,
                "additional_comments": one.additional_comments,
            }
            for one in given
        ]
        shell.answer({"feedback": rows}, out.getvalue().removesuffix("\n"))


def _harmless(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell
