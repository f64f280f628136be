"""Keys of carts' screens"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("carts", sa.Column("screen_key_hash", sa.LargeBinary(), nullable=True))
    op.add_column("carts", sa.Column("screen_changed_at", sa.BigInteger(), server_default="0", nullable=False))
    op.create_index("ix_carts_screen_changed_at", "carts", ["screen_changed_at"], unique=False)
