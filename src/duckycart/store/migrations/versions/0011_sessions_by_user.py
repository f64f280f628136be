"""A guest's sessions are found without looking at everybody's"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # On PostgreSQL nobody writes to sessions meanwhile: about a second for a million of them.
    op.create_index("ix_sessions_user_id", "sessions", ["user_id"])
