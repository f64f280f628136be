"""The last connections of each cart, and what it was refused for"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "connections",
        sa.Column("cart_id", sa.Integer(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("node", sa.String(length=80), nullable=False),
        sa.Column("address", sa.String(length=45), nullable=True),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.String(length=20), nullable=True),
        sa.Column("close_code", sa.Integer(), nullable=True),
        sa.Column("commands_sent", sa.Integer(), nullable=True),
        sa.Column("commands_received", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["cart_id"], ["carts.id"], name=op.f("fk_connections_cart_id")),
        sa.PrimaryKeyConstraint("cart_id", "place", name=op.f("pk_connections")),
    )
    op.create_table(
        "refusals",
        sa.Column("cart_id", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(length=20), nullable=False),
        sa.Column("times", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.Column("address", sa.String(length=45), nullable=True),
        sa.ForeignKeyConstraint(["cart_id"], ["carts.id"], name=op.f("fk_refusals_cart_id")),
        sa.PrimaryKeyConstraint("cart_id", "reason", name=op.f("pk_refusals")),
    )
