"""Boots of carts that another boot took over from"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "boots",
        sa.Column("cart_id", sa.Integer(), nullable=False),
        sa.Column("boot_id", sa.String(length=64), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("heard_seq", sa.Integer(), nullable=False),
        sa.Column("told_seq", sa.Integer(), nullable=False),
        sa.Column("left_epoch", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["cart_id"], ["carts.id"], name=op.f("fk_boots_cart_id")),
        sa.PrimaryKeyConstraint("cart_id", "boot_id", name=op.f("pk_boots")),
    )
    op.add_column("commands", sa.Column("several_boots", sa.Boolean(), server_default=sa.false(), nullable=False))
