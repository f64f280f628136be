"""An operator reads here what goes on in the shop: who shops, and which alarms were raised."""

from typing import Any

from sqlalchemy import Connection, func, select

from duckycart.clock import iso
from duckycart.lifecycle.carts import OPEN
from duckycart.store.tables import alarms, basket_lines, payments, sessions


def active_sessions(connection: Connection) -> list[dict[str, Any]]:
    """Return active sessions, the longest without a sign of life first; `payment` is its open one's state, or null."""
    units = (
        select(func.coalesce(func.sum(basket_lines.c.quantity), 0))
        .where(basket_lines.c.session_id == sessions.c.id)
        .scalar_subquery()
    )
    payment = select(payments.c.state).where(payments.c.session_id == sessions.c.id, OPEN).scalar_subquery()
    rows = connection.execute(
        select(
            sessions.c.id.label("session_id"),
            sessions.c.cart_id,
            sessions.c.user_id,
            units.label("units"),
            payment.label("payment"),
            sessions.c.created_at,
            func.coalesce(sessions.c.touched_wall, sessions.c.touched_at).label("touched_at"),
        )
        .where(sessions.c.is_active)
        .order_by(sessions.c.touched_at)
    )
    return [{**row._mapping, "created_at": iso(row.created_at), "touched_at": iso(row.touched_at)} for row in rows]


def newest_alarms(connection: Connection, limit: int) -> list[dict[str, Any]]:
    """Return the newest alarms, the newest first."""
    rows = connection.execute(
        select(alarms.c.at, alarms.c.kind, alarms.c.cart_id, alarms.c.session_id, alarms.c.detail)
        .order_by(alarms.c.id.desc())
        .limit(limit)
    )
    return [{**row._mapping, "at": iso(row.at)} for row in rows]
