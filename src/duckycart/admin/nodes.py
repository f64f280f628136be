"""`duckycart nodes`: the servers that share a database."""

from duckycart.admin.shell import DEFAULT_DATABASE, DatabaseOption, JsonOption, Shell, table


def nodes(database: DatabaseOption = DEFAULT_DATABASE, as_json: JsonOption = False) -> None:
    """List the servers that share the database, with the carts connected to each. A server without a bus is not listed.

    One that dies without a word is gone from here after some ten seconds.

    For a program: duckycart nodes --json
    """
    from duckycart.clock import iso
    from duckycart.nodes.heartbeat import list_nodes

    with Shell(database, as_json) as shell:
        with shell.open().connect() as connection:
            listed = [
                {"node": row.id, "carts": row.links, "started_at": iso(row.started_at), "seen_at": iso(row.seen_at)}
                for row in list_nodes(connection)
            ]
        rows = [tuple(one.values()) for one in listed]
        shell.answer({"nodes": listed}, table(("NODE", "CARTS", "SINCE", "LAST SIGN OF LIFE"), *rows))
