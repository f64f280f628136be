"""The database has these tables, and defends these rules by itself.

Money is in minor units. Keys of carts and screens are kept only as SHA-256, passwords only as Argon2. Every constraint
is named, because violations are translated by name.

A time is in milliseconds, by one of two clocks. What people read is the time of day, since 1970 in UTC. What decides
how long something lasts is the shop's steady clock (steady.py), and such columns say so; what serves both has a second
column, `…_steady` for the decision or `…_wall` for people. A server of the version before writes the time of day into
the first, which is close, and nothing into the second, which may be missing for that reason.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    func,
    text,
)

from duckycart.store.states import (
    OPEN_PAYMENTS,
    OUTSTANDING_COMMANDS,
    CartStatus,
    CommandState,
    EndReason,
    PaymentState,
    is_in,
)
from duckycart.wire import CommandType

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

steady_clock = Table(
    # Where the shop's steady clock stood when it was last written down, in one row; none before the first server.
    "steady_clock",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("ms", BigInteger, nullable=False),
    Column("boot_id", String(64)),  # which start of which machine wrote it, None where that is not known
    Column("boot_ms", BigInteger, nullable=False),  # for how long that machine had been running then
    CheckConstraint("id = 1", name="one_row"),
)

signing_keys = Table(
    # Made at the first start and shared by every node, so that a restart voids no token.
    "signing_keys",
    metadata,
    Column("kid", String(32), primary_key=True),
    Column("secret", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),  # steady: the newest signs
)

shop_currency = Table(
    # One row once there is a product or a session: what all amounts of this database are in.
    "shop_currency",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("code", String(3), nullable=False),  # ISO 4217
    Column("digits", Integer, nullable=False),  # decimals: amounts are kept in units of 10 ** -digits
    CheckConstraint("id = 1", name="one_row"),
)

shop_address = Table(
    # One row once a server has run: where phones and screens find the one that started last. The shell goes by it.
    "shop_address",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("url", Text, nullable=False),  # without a slash at the end
    CheckConstraint("id = 1", name="one_row"),
)

carts = Table(
    # One row per cart: its lock, the order of its commands, and which node holds its link. Every transition first
    # UPDATEs this row.
    "carts",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("key_hash", LargeBinary, nullable=False),
    Column("disabled", Boolean, nullable=False, server_default=false()),
    Column("out_of_service", Boolean, nullable=False, server_default=false()),
    Column("status", String(16), nullable=False, server_default="available"),
    Column("session_id", Integer),  # the active session, None while available
    Column("qr_round", Integer, nullable=False, server_default="1"),  # a QR of an earlier round is void
    Column("qr_expires_at", BigInteger, nullable=False, server_default="0"),  # steady; of this round's newest QR
    Column("last_seq", Integer, nullable=False, server_default="0"),  # of the cart's newest command, without gaps
    Column("link_epoch", Integer, nullable=False, server_default="0"),  # counts connections and withdrawals
    Column("link_node", String(80)),  # who holds the link, None while offline
    Column("link_changed_at", BigInteger, nullable=False, server_default="0"),  # steady; of epoch or node
    Column("link_changed_wall", BigInteger),
    # Of the boot whose link is, or was, the last: None when the cart never named one, empty when only that one did not.
    Column("boot_id", String(64)),
    # That boot's number: the epoch of its first link, so that each has its own; 0 without a boot_id.
    Column("boot_generation", Integer, nullable=False, server_default="0"),
    Column("created_at", BigInteger, nullable=False),
    Column("screen_key_hash", LargeBinary),  # None: no key opens the cart's screen
    Column("screen_changed_at", BigInteger, nullable=False, server_default="0"),  # steady; of key or `disabled`
    CheckConstraint(is_in("status", CartStatus), name="status"),
    CheckConstraint("(status = 'in_use') = (session_id IS NOT NULL)", name="in_use_has_session"),
    UniqueConstraint("key_hash", name="uq_carts_key_hash"),
    # What changed hands lately: the sweep closes links that were taken over or whose credential was withdrawn.
    Index("ix_carts_link_changed_at", "link_changed_at"),
    Index("ix_carts_screen_changed_at", "screen_changed_at"),  # likewise: streams of screens whose key was withdrawn
    Index("ix_carts_link_node", "link_node", sqlite_where=text("link_node IS NOT NULL"),
          postgresql_where=text("link_node IS NOT NULL")),
)  # fmt: skip

boots = Table(
    # The boots from which a cart's link was taken over by another boot of it, and what each of them had heard by then.
    # One whose connection comes late, or that comes back, is not a reboot.
    "boots",
    metadata,
    Column("cart_id", Integer, ForeignKey("carts.id"), nullable=False),
    Column("boot_id", String(64), nullable=False),
    Column("generation", Integer, nullable=False),  # as in carts.boot_generation
    Column("heard_seq", Integer, nullable=False),  # it has all commands up to this one that it needed
    Column("told_seq", Integer, nullable=False),  # the cart's newest command when it lost the link: it may have more
    Column("left_epoch", Integer, nullable=False),  # of the link that took over; the oldest are forgotten
    PrimaryKeyConstraint("cart_id", "boot_id"),
)

nodes = Table(
    # The servers of a database that several share. A row whose `beats` stand still is that of a dead one.
    "nodes",
    metadata,
    Column("id", String(80), primary_key=True),  # as in carts.link_node: its name and which start of it this is
    Column("beats", BigInteger, nullable=False),
    Column("links", Integer, nullable=False),  # carts connected to it at its last beat
    Column("started_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),  # by its own clock, for people
    Column("clock_ahead", BigInteger),  # by how many ms that clock was ahead of the database's, None when not known
)

CONNECTIONS_KEPT: Final = 20  # of each cart, its last

connections = Table(
    # A cart's last connections, for operators: written with the claim and the release. No decision rests on it.
    "connections",
    metadata,
    Column("cart_id", Integer, ForeignKey("carts.id"), nullable=False),
    Column("place", Integer, nullable=False),  # epoch modulo CONNECTIONS_KEPT: the newest replaces the oldest
    Column("epoch", Integer, nullable=False),  # the cart's link_epoch with this connection
    Column("node", String(80), nullable=False),
    Column("address", String(45)),
    Column("since", BigInteger, nullable=False),
    Column("until", BigInteger),  # None while it lasts, and for ever where nobody could write the end
    Column("reason", String(20)),  # a word of hardware/ending.py, None as long as `until` is
    Column("close_code", Integer),  # of the close frame of whoever closed first
    Column("commands_sent", Integer),
    Column("commands_received", Integer),
    PrimaryKeyConstraint("cart_id", "place"),
)

refusals = Table(
    # For what a cart was not let in, how often and when last: one row for each reason.
    "refusals",
    metadata,
    Column("cart_id", Integer, ForeignKey("carts.id"), nullable=False),
    Column("reason", String(20), nullable=False),  # a word of hardware/ending.py
    Column("times", BigInteger, nullable=False),
    Column("last_at", BigInteger, nullable=False),
    Column("address", String(45)),  # of the last one
    PrimaryKeyConstraint("cart_id", "reason"),
)

commands = Table(
    # What a cart was told. Written in the transaction that changes the state it speaks of.
    "commands",
    metadata,
    Column("cart_id", Integer, ForeignKey("carts.id"), nullable=False),
    Column("seq", Integer, nullable=False),
    Column("type", String(20), nullable=False),
    Column("session_id", Integer, ForeignKey("sessions.id")),
    Column("state", String(12), nullable=False, server_default=CommandState.QUEUED.value),
    Column("attempted", Boolean, nullable=False),  # a link may have written it; set before any write
    Column("boot_generation", Integer, nullable=False),  # the boot of the cart that `state` speaks of
    Column("queued_at", BigInteger, nullable=False),
    Column("sent_at", BigInteger),
    Column("received_at", BigInteger),
    # Links of more than one boot may have written it: a call that names no boot does not say which of them heard it.
    Column("several_boots", Boolean, nullable=False, server_default=false()),
    # The boot that had received it, when `state` came to speak of one that lacks it; None where there was no such boot.
    Column("read_by", Integer),
    PrimaryKeyConstraint("cart_id", "seq"),
    CheckConstraint(is_in("type", CommandType), name="type"),
    CheckConstraint(is_in("state", CommandState), name="state"),
    CheckConstraint("(type = 'generate_qr') = (session_id IS NULL)", name="session"),
    Index("ix_commands_session_id", "session_id"),
    # What may still have to be delivered: a few rows however long the history.
    Index("ix_commands_outstanding", "cart_id", "seq", sqlite_where=text(is_in("state", OUTSTANDING_COMMANDS)),
          postgresql_where=text(is_in("state", OUTSTANDING_COMMANDS))),
)  # fmt: skip

# As literal text, since only so the partial index serves: a bound parameter could be anything.
OUTSTANDING: Final = text(is_in("commands.state", OUTSTANDING_COMMANDS))

users = Table(
    # Shoppers, guests (no e-mail) and operators.
    "users",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("email", String(254)),
    Column("username", String(80)),
    Column("mobile_number", String(32)),
    Column("full_name", String(120), nullable=False),
    Column("password_hash", String(200)),
    Column("is_active", Boolean, nullable=False),
    Column("is_operator", Boolean, nullable=False),
    Column("guest_cart_id", Integer),  # of a guest: the one cart and round its token may join
    Column("guest_round", Integer),
    Column("created_at", BigInteger, nullable=False),
    UniqueConstraint("email", name="uq_users_email"),
    UniqueConstraint("username", name="uq_users_username"),
    sqlite_autoincrement=True,  # an id is never given twice, or an old token would open a new account
)

sessions = Table(
    # A shopper with a cart, from the scan to the end.
    "sessions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("cart_id", Integer, ForeignKey("carts.id"), nullable=False),
    Column("user_id", Integer, ForeignKey("users.id"), nullable=False),
    Column("qr_round", Integer, nullable=False),  # of the QR that started it
    Column("is_active", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Column("ended_steady", BigInteger),
    Column("end_reason", String(12)),
    Column("held_at", BigInteger),  # of the first payment_created; the basket stays frozen from here on
    Column("touched_at", BigInteger, nullable=False),  # steady; the last sign of life of cart or shopper
    Column("touched_wall", BigInteger),
    Column("idle_reported_at", BigInteger),  # when an operator was told that it is idle with a full basket
    Column("version", Integer, nullable=False),  # grows with each change a screen may want to hear of
    CheckConstraint("is_active = (ended_at IS NULL)", name="active_until_ended"),
    CheckConstraint(is_in("end_reason", EndReason), name="end_reason"),
    # One active session per cart and one per shopper: two phones on one QR are decided here.
    Index("uq_sessions_active_cart", "cart_id", unique=True, sqlite_where=text("is_active = 1"),
          postgresql_where=text("is_active")),
    Index("uq_sessions_active_user", "user_id", unique=True, sqlite_where=text("is_active = 1"),
          postgresql_where=text("is_active")),
    Index("ix_sessions_user_id", "user_id"),  # a guest's token is good for as long as its session and a while more
    sqlite_autoincrement=True,
)  # fmt: skip

products = Table(
    "products",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("barcode", String(40), nullable=False),  # as printed, for people
    Column("barcode_number", String(40), nullable=False),  # without leading zeros: carts send integers
    Column("description", String(300), nullable=False),
    Column("description_ar", String(300), nullable=False),
    Column("product_size", String(60), nullable=False),
    Column("unit_price", BigInteger, nullable=False),
    Column("weight_grams", Integer),
    Column("image_url", String(500)),
    CheckConstraint("unit_price >= 0", name="unit_price"),
    UniqueConstraint("barcode_number", name="uq_products_barcode_number"),
    sqlite_autoincrement=True,
)

basket_lines = Table(
    "basket_lines",
    metadata,
    Column("session_id", Integer, ForeignKey("sessions.id"), nullable=False),
    Column("product_id", Integer, ForeignKey("products.id"), nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("unit_price", BigInteger, nullable=False),  # fixed when the line is added
    Column("saved_weight", BigInteger, nullable=False),  # grams, of all its units
    Column("added_at", BigInteger, nullable=False),  # steady; the oldest is shown first
    PrimaryKeyConstraint("session_id", "product_id"),
    CheckConstraint("quantity > 0", name="quantity"),
)

payments = Table(
    "payments",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("session_id", Integer, ForeignKey("sessions.id"), nullable=False),
    Column("provider", String(20), nullable=False),
    Column("token", String(32), nullable=False),  # 128 random bits: in our pay page's URL and as idempotency key
    Column("provider_ref", String(120)),  # the provider's name for it, None while creating
    Column("url", Text),
    Column("state", String(12), nullable=False),
    Column("method", String(40)),
    Column("amount", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("created_steady", BigInteger),
    Column("opened_at", BigInteger),
    Column("closed_at", BigInteger),
    Column("news", String(20)),  # what screens were last told of it, None when nothing yet
    Column("news_version", Integer, nullable=False, server_default="0"),  # of the session, with that
    CheckConstraint(is_in("state", PaymentState), name="state"),
    CheckConstraint("amount >= 0", name="amount"),
    UniqueConstraint("provider", "provider_ref", name="uq_payments_provider_ref"),
    UniqueConstraint("token", name="uq_payments_token"),
    Index("ix_payments_session_id", "session_id"),
    Index("ix_payments_state", "state"),  # the reconciler asks for the open ones
    # One open payment per session. `creating` counts: the provider may already know of it.
    Index("uq_payments_open_session", "session_id", unique=True, sqlite_where=text(is_in("state", OPEN_PAYMENTS)),
          postgresql_where=text(is_in("state", OPEN_PAYMENTS))),
    sqlite_autoincrement=True,
)  # fmt: skip

provider_events = Table(
    # Every webhook that was believed, once: a repeated one finds itself here.
    "provider_events",
    metadata,
    Column("provider", String(20), nullable=False),
    Column("event_id", String(120), nullable=False),
    Column("type", String(40), nullable=False),
    Column("provider_ref", String(120)),
    Column("body", Text, nullable=False),
    Column("outcome", String(40), nullable=False),
    Column("received_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("provider", "event_id"),
)

analytics = Table(
    # One row per finished session, written with its end.
    "analytics",
    metadata,
    Column("session_id", Integer, ForeignKey("sessions.id"), primary_key=True, autoincrement=False),
    Column("cart_id", Integer, nullable=False),
    Column("user_id", Integer, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger, nullable=False),
    Column("end_reason", String(12), nullable=False),
    Column("units", Integer, nullable=False),
    Column("total", BigInteger, nullable=False),
    Column("paid", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
)

alarms = Table(
    # What an operator must hear of: money that fits nothing, baskets left alone.
    "alarms",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("cart_id", Integer),
    Column("session_id", Integer),
    Column("detail", Text, nullable=False),
    Index("ix_alarms_session_id", "session_id"),  # whether an operator was told of it already
    sqlite_autoincrement=True,
)

fraud_warnings = Table(
    # What a cart said of its scale, and its other notices.
    "fraud_warnings",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("session_id", Integer, ForeignKey("sessions.id"), nullable=False),
    Column("type_of_warning", String(200), nullable=False),  # "weight increased", "weight decreased" or free text
    Column("held", Boolean, nullable=False),  # said after the session's first payment_created
    Column("created_at", BigInteger, nullable=False),
    Column("news_version", Integer, nullable=False, server_default="0"),  # of the session; 0: no screen was told
    Index("ix_fraud_warnings_session_id", "session_id"),
    sqlite_autoincrement=True,
)

session_locations = Table(
    # Where a session's cart was last.
    "session_locations",
    metadata,
    Column("session_id", Integer, ForeignKey("sessions.id"), primary_key=True, autoincrement=False),
    Column("aisle_id", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)

pairings = Table(
    # The newest claim code of a cart, by which its program makes a key known, once.
    "pairings",
    metadata,
    Column("cart_id", Integer, ForeignKey("carts.id"), primary_key=True, autoincrement=False),
    Column("code_hash", LargeBinary, nullable=False),  # SHA-256; a code is short, and so good for minutes only
    Column("expires_at", BigInteger, nullable=False),  # steady
    Column("key_hash", LargeBinary),  # of the key that it was used for; None: it was not used yet
    UniqueConstraint("code_hash", name="uq_pairings_code_hash"),
)

feedback = Table(
    # What a shopper thought of it, as the cart's screen asked.
    "feedback",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("session_id", Integer, ForeignKey("sessions.id"), nullable=False),
    Column("satisfaction", Text, nullable=False),  # JSON: a number of stars or a word, as the screen says it
    Column("selected_item_ids", Text, nullable=False),  # JSON, a list
    Column("additional_comments", Text),
    Column("created_at", BigInteger, nullable=False),
    UniqueConstraint("session_id", name="uq_feedback_session_id"),
    sqlite_autoincrement=True,
)

idempotency_keys = Table(
    # The result of a request that carried an Idempotency-Key, written in the transaction that did it.
    "idempotency_keys",
    metadata,
    Column("scope", String(200), nullable=False),  # who asked, and for what
    Column("key", String(200), nullable=False),
    Column("fingerprint", LargeBinary, nullable=False),  # SHA-256 of the body
    Column("result", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),  # steady
    PrimaryKeyConstraint("scope", "key"),
    Index("ix_idempotency_keys_created_at", "created_at"),
)

# For decisions; of what a server of the version before wrote there is only the other.
ENDED_STEADY: Final = func.coalesce(sessions.c.ended_steady, sessions.c.ended_at)
PAYMENT_STEADY: Final = func.coalesce(payments.c.created_steady, payments.c.created_at)
