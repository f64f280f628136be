"""Feedback, alarms by their session, and names in one Unicode form"""

import sqlalchemy as sa
from alembic import op

from duckycart.names import account_name

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "feedback",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("session_id", sa.Integer(), nullable=False),
        sa.Column("satisfaction", sa.Text(), nullable=False),
        sa.Column("selected_item_ids", sa.Text(), nullable=False),
        sa.Column("additional_comments", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], name=op.f("fk_feedback_session_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feedback")),
        sa.UniqueConstraint("session_id", name="uq_feedback_session_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_alarms_session_id", "alarms", ["session_id"])
    _bring_names_into_one_form()


def _bring_names_into_one_form() -> None:
    """Those that can: where two accounts would then have one name, both keep theirs."""
    users = sa.table("users", sa.column("id"), sa.column("email"), sa.column("username"))
    connection = op.get_bind()
    for column in (users.c.email, users.c.username):
        rows = connection.execute(sa.select(users.c.id, column).where(column.is_not(None))).all()
        forms: dict[str, int] = {}
        for _, name in rows:
            forms[account_name(name)] = forms.get(account_name(name), 0) + 1
        for number, name in rows:
            form = account_name(name)
            if form != name and forms[form] == 1:
                connection.execute(sa.update(users).where(users.c.id == number).values({column: form}))
