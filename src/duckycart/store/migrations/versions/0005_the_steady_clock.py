"""The shop's steady clock, and a second column for what both people and decisions read"""

import time

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# What decides how long something lasts, and the column that decides it from now on.
_STAMPS = {
    "signing_keys": {"created_at": "created_at"},
    "carts": {
        "qr_expires_at": "qr_expires_at",
        "link_changed_at": "link_changed_at",
        "screen_changed_at": "screen_changed_at",
    },
    "sessions": {"touched_at": "touched_at", "ended_at": "ended_steady"},
    "basket_lines": {"added_at": "added_at"},
    "payments": {"created_at": "created_steady"},
    "idempotency_keys": {"created_at": "created_at"},
}
_DAY = 86_400_000  # ms; no QR is good for longer


def upgrade() -> None:
    op.create_table(
        "steady_clock",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("ms", sa.BigInteger(), nullable=False),
        sa.Column("boot_id", sa.String(length=64), nullable=True),
        sa.Column("boot_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_steady_clock_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_steady_clock")),
    )
    op.add_column("carts", sa.Column("link_changed_wall", sa.BigInteger(), nullable=True))
    op.add_column("nodes", sa.Column("clock_ahead", sa.BigInteger(), nullable=True))
    op.add_column("sessions", sa.Column("ended_steady", sa.BigInteger(), nullable=True))
    op.add_column("sessions", sa.Column("touched_wall", sa.BigInteger(), nullable=True))
    op.add_column("payments", sa.Column("created_steady", sa.BigInteger(), nullable=True))
    now = time.time_ns() // 1_000_000
    # Steady time begins at the time of day, with the first server; but here, where there may be something to compare.
    op.execute(
        sa.text(
            "INSERT INTO steady_clock (id, ms, boot_id, boot_ms) SELECT 1, :now, NULL, 0 "
            "WHERE EXISTS (SELECT 1 FROM carts)"
        ).bindparams(now=now)
    )
    # The clock may have run ahead until now: nothing lasts longer for it.
    for table, stamps in _STAMPS.items():
        for written, decides in stamps.items():
            latest = now + _DAY if written == "qr_expires_at" else now
            stamped = sa.table(table, *map(sa.column, {written, decides}))
            op.execute(sa.update(stamped).where(stamped.c[written] > latest).values({decides: now}))
