"""Warnings of carts, and where they are"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "fraud_warnings",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("session_id", sa.Integer(), nullable=False),
        sa.Column("type_of_warning", sa.String(length=200), nullable=False),
        sa.Column("held", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], name=op.f("fk_fraud_warnings_session_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fraud_warnings")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_fraud_warnings_session_id", "fraud_warnings", ["session_id"], unique=False)
    op.create_table(
        "session_locations",
        sa.Column("session_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("aisle_id", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], name=op.f("fk_session_locations_session_id")),
        sa.PrimaryKeyConstraint("session_id", name=op.f("pk_session_locations")),
    )
