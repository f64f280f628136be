"""Several servers on one database, and what screens were told of payments and warnings"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "nodes",
        sa.Column("id", sa.String(length=80), nullable=False),
        sa.Column("beats", sa.BigInteger(), nullable=False),
        sa.Column("links", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_nodes")),
    )
    op.add_column("payments", sa.Column("news", sa.String(length=20), nullable=True))
    op.add_column("payments", sa.Column("news_version", sa.Integer(), server_default="0", nullable=False))
    op.add_column("fraud_warnings", sa.Column("news_version", sa.Integer(), server_default="0", nullable=False))
