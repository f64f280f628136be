"""One cart is shown as an operator wants to see it: where it stands, and how its connections came and went."""

from collections import Counter
from typing import Any, Final

from sqlalchemy import Connection, select

from duckycart.admin.fleet import one_cart
from duckycart.admin.shell import table
from duckycart.clock import iso
from duckycart.hardware.connections import PastConnection, last_connections, past_refusals
from duckycart.hardware.ending import Ended
from duckycart.store.tables import CONNECTIONS_KEPT, OUTSTANDING, commands

HOUR_MS: Final = 3_600_000

_OUTSTANDING: Final = (
    select(commands.c.seq, commands.c.type, commands.c.session_id, commands.c.state, commands.c.queued_at)
    .where(OUTSTANDING)
    .order_by(commands.c.seq)
)


def show_cart(connection: Connection, cart_id: int, now: int) -> dict[str, Any]:
    """Return what is known of the cart, ready for JSON. Raises NotFound.

    `connections` has the newest first; `reason` is None for the one that lasts, and with it `until`. `last_hour` counts
    those that began in it, and how those of them that are over ended; `at_least` says that there may have been more
    than are kept.
    """
    cart = one_cart(connection, cart_id)
    outstanding = connection.execute(_OUTSTANDING.where(commands.c.cart_id == cart_id)).all()
    past = last_connections(connection, cart_id)
    recent = [one for one in past if one.since > now - HOUR_MS]
    return {
        **cart,
        "commands": [{**row._mapping, "queued_at": iso(row.queued_at)} for row in outstanding],
        "connections": [_connection(one) for one in past],
        "last_hour": {
            "connections": len(recent),
            "at_least": len(recent) == CONNECTIONS_KEPT,
            "ended": dict(Counter(str(one.reason) for one in recent if one.reason is not None).most_common()),
            "addresses": len({one.address for one in recent}),
        },
        "refusals": [
            {"reason": str(one.reason), "times": one.times, "last_at": iso(one.last_at), "address": one.address}
            for one in past_refusals(connection, cart_id)
        ],
    }


def _connection(one: PastConnection) -> dict[str, Any]:
    return {
        "epoch": one.epoch,
        "node": one.node,
        "address": one.address,
        "since": iso(one.since),
        "until": None if one.until is None else iso(one.until),
        "seconds": None if one.until is None else (one.until - one.since) / 1000,
        "reason": None if one.reason is None else str(one.reason),
        "ended_by": None if one.reason is None else one.reason.by,
        "close_code": one.close_code,
        "commands_sent": one.commands_sent,
        "commands_received": one.commands_received,
    }


def describe(shown: dict[str, Any]) -> str:
    """Return what `show_cart` found, as text for people."""
    state = "disabled" if shown["disabled"] else "out of service" if shown["out_of_service"] else shown["status"]
    session = "" if shown["session_id"] is None else f", session {shown['session_id']}"
    if shown["node"] is not None:
        link = f"connected to {shown['node']} since {shown['link_changed_at']}"
    elif shown["link_changed_at"] is not None:
        link = f"offline since {shown['link_changed_at']}"
    else:
        link = "never connected"
    parts = [f"Cart {shown['id']}: {state}{session}, {link}.", _last_hour(shown["last_hour"])]
    waiting = shown["commands"]
    if waiting:
        cells = [(one["seq"], one["type"], one["session_id"] or "-", one["state"], one["queued_at"]) for one in waiting]
        parts += ["", table(("COMMAND", "TYPE", "SESSION", "STATE", "QUEUED"), *cells)]
    else:
        parts.append("It has heard every command.")
    if shown["connections"]:
        parts += ["", table(_HEAD, *map(_cells, shown["connections"]))]
        reasons = dict.fromkeys(one["reason"] for one in shown["connections"] if one["reason"] is not None)
        parts += ["", table(*((reason, Ended(reason).words) for reason in reasons))] if reasons else []
    if shown["refusals"]:
        refused = [(one["reason"], one["times"], one["last_at"], one["address"] or "-") for one in shown["refusals"]]
        parts += ["", table(("REFUSED FOR", "TIMES", "LAST", "FROM"), *refused)]
    return "\n".join(parts)


_HEAD: Final = ("SINCE", "SECONDS", "ENDED", "BY", "CODE", "COMMANDS SENT/READ", "FROM", "NODE")


def _cells(one: dict[str, Any]) -> tuple[object, ...]:
    counted = one["commands_sent"] is not None
    return (
        one["since"],
        "-" if one["seconds"] is None else f"{one['seconds']:.1f}",
        one["reason"] or "(lasts)",
        one["ended_by"] or "-",
        one["close_code"] or "-",
        f"{one['commands_sent']}/{one['commands_received']}" if counted else "-",
        one["address"] or "-",
        one["node"],
    )


def _last_hour(hour: dict[str, Any]) -> str:
    count = hour["connections"]
    if not count:
        return "No new connection in the last hour."
    least = "at least " if hour["at_least"] else ""
    line = f"{least}{count} connection{'' if count == 1 else 's'} in the last hour"
    if hour["ended"]:
        reason, times = next(iter(hour["ended"].items()))
        line += f", {times} ended by {reason}: {Ended(reason).words}"
    line += "."
    if hour["addresses"] > 1:
        line += f" They came from {hour['addresses']} addresses: do two carts use one key?"
    return line[0].upper() + line[1:]
