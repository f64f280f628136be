"""The currency becomes a fact of the database, and a basket may cost nothing"""

import sqlalchemy as sa
from alembic import op

from duckycart.currency import currency_of
from duckycart.errors import BadRequest

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_OPEN = sa.text("state IN ('creating', 'open')")


def upgrade() -> None:
    op.create_table(
        "shop_currency",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("code", sa.String(length=3), nullable=False),
        sa.Column("digits", sa.Integer(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_shop_currency_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shop_currency")),
    )
    _take_what_was_recorded()
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint(op.f("ck_payments_amount"), "payments")
        op.create_check_constraint(op.f("ck_payments_amount"), "payments", "amount >= 0")
    else:
        _rebuild_payments()


def _take_what_was_recorded() -> None:
    """Of the newest payment, or the newest session that was over. Nothing for a database without either."""
    connection = op.get_bind()
    for table, newest in (("payments", "id"), ("analytics", "session_id")):
        recorded = connection.execute(
            sa.text(f"SELECT currency FROM {table} ORDER BY {newest} DESC LIMIT 1")  # noqa: S608 - our own names
        ).scalar_one_or_none()
        if recorded is None:
            continue
        try:
            currency = currency_of(recorded)
        except BadRequest:
            continue  # a code that never was one; the first server of this version decides
        connection.execute(
            sa.text("INSERT INTO shop_currency (id, code, digits) VALUES (1, :code, :digits)"),
            {"code": currency.code, "digits": currency.digits},
        )
        return


def _rebuild_payments() -> None:
    """SQLite changes no CHECK in place: a new table, everything into it, and its name."""
    op.create_table(
        "payments_new",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("session_id", sa.Integer(), nullable=False),
        sa.Column("provider", sa.String(length=20), nullable=False),
        sa.Column("token", sa.String(length=32), nullable=False),
        sa.Column("provider_ref", sa.String(length=120), nullable=True),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("method", sa.String(length=40), nullable=True),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=True),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.Column("news", sa.String(length=20), nullable=True),
        sa.Column("news_version", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_steady", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "state IN ('creating', 'open', 'paid', 'failed', 'cancelled', 'paid_extra')", name=op.f("ck_payments_state")
        ),
        sa.CheckConstraint("amount >= 0", name=op.f("ck_payments_amount")),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], name=op.f("fk_payments_session_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payments")),
        sa.UniqueConstraint("provider", "provider_ref", name="uq_payments_provider_ref"),
        sa.UniqueConstraint("token", name="uq_payments_token"),
        sqlite_autoincrement=True,
    )
    columns = (
        "id, session_id, provider, token, provider_ref, url, state, method, amount, currency, created_at, opened_at, "
        "closed_at, news, news_version, created_steady"
    )
    op.execute(f"INSERT INTO payments_new ({columns}) SELECT {columns} FROM payments")  # noqa: S608 - our own names
    # An id is never given twice: the new table counts on from the highest that the old one ever gave.
    op.execute("DELETE FROM sqlite_sequence WHERE name = 'payments_new'")
    op.execute("INSERT INTO sqlite_sequence (name, seq) SELECT 'payments_new', seq FROM sqlite_sequence "
               "WHERE name = 'payments'")  # fmt: skip
    op.drop_table("payments")
    op.rename_table("payments_new", "payments")
    op.create_index("ix_payments_session_id", "payments", ["session_id"])
    op.create_index("ix_payments_state", "payments", ["state"])
    op.create_index("uq_payments_open_session", "payments", ["session_id"], unique=True, sqlite_where=_OPEN)
