"""`duckycart nodes` lists the servers that share a database."""

from duckycart import defaults
from duckycart.admin.shell import DatabaseOption, JsonOption, Shell, table


def nodes(database: DatabaseOption = defaults.DATABASE, as_json: JsonOption = False) -> None:
    """List the servers that share the database, with the carts connected to each. A server without a bus is not listed.

    One that dies without a word is gone from here after some ten seconds. CLOCK
    is by how many seconds its clock is ahead of the database's: nothing is
    decided by it, but set it by NTP.

    For a program: duckycart nodes --json
    """
    from duckycart.clock import iso
    from duckycart.nodes.heartbeat import list_nodes

    with Shell(database, as_json) as shell:
        with shell.open().connect() as connection:
            listed = [
                {
                    "node": row.id,
                    "carts": row.links,
                    "started_at": iso(row.started_at),
                    "seen_at": iso(row.seen_at),
                    "clock_ahead": None if row.clock_ahead is None else row.clock_ahead / 1000,
                }
                for row in list_nodes(connection)
            ]
        rows = [(*list(one.values())[:-1], _clock(one["clock_ahead"])) for one in listed]
        shell.answer({"nodes": listed}, table(("NODE", "CARTS", "SINCE", "LAST SIGN OF LIFE", "CLOCK"), *rows))


def _clock(ahead: float | None) -> str:
    return "-" if ahead is None else f"{ahead:+.0f} s"
