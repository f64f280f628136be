"""Which boot of its cart had read a command, when another one that lacks it took over"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("commands", sa.Column("read_by", sa.Integer(), nullable=True))
