"""Where phones and screens find the server, for the shell"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "shop_address",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_shop_address_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shop_address")),
    )
