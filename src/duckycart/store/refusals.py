"""The store refuses these: at the start of a server, and to whoever administers a database from the shell."""

from typing import Final

from duckycart.errors import BadRequest, Conflict, NotFound, Refusal, Unavailable
from duckycart.refusals import DATABASE_UNAVAILABLE

UNSUPPORTED_DATABASE: Final = Refusal(
    BadRequest,
    "unsupported_database",
    "{shown!a} is no database that can be used here; name a file, like sqlite:///duckycart.db, or a PostgreSQL "
    "database, like postgresql+psycopg://USER:PASSWORD@HOST/NAME (given {given}).",
)
ONE_SERVER_PER_FILE: Final = Refusal(
    BadRequest,
    "one_server_per_file",
    "{place} is a file, and a file has one server. For several, name a PostgreSQL database with --database "
    "(`duckycart db copy` brings everything along); for one, leave out --bus.",
)
UNREACHABLE: Final = Refusal(Unavailable, DATABASE_UNAVAILABLE.code, "{database} cannot be used: {reason}")
STALE_JOURNAL: Final = Refusal(
    Unavailable,
    "stale_journal",
    "{path} was replaced by another file, but the last changes of the one before are still in {path}-wal; "
    "together they are no database. Run `duckycart db restore FILE` with the backup: it puts both aside.",
)
DAMAGED: Final = Refusal(
    Unavailable,
    "damaged",
    "{path} is damaged; SQLite says: {verdict}. Run `duckycart db restore FILE` with the newest backup that "
    "is whole: it puts the damaged file aside.",
)
DAMAGED_BACKUP: Final = DAMAGED.saying(
    "{backup} is damaged, nothing was changed; name another backup. SQLite says: {verdict}."
)
NO_BACKUP: Final = Refusal(NotFound, "no_backup", "There is no file {backup}.")
BAD_BACKUP: Final = Refusal(
    BadRequest, "bad_backup", "{backup} cannot be used, nothing was changed; SQLite says: {error}."
)
BACKUP_IS_THE_DATABASE: Final = BAD_BACKUP.saying("{backup} is the database itself; name a backup.")
NOT_EMPTY: Final = Refusal(Conflict, "not_empty", "There is something in {database} already; name an empty database.")
COPY_DIFFERS: Final = Refusal(
    Unavailable, "copy_differs", "The table {table} is not the same after the copy; nothing was kept."
)
CURRENCY_IN_USE: Final = Refusal(
    Conflict,
    "currency_in_use",
    "Somebody has shopped with this database already, and what was paid stays in its currency. "
    "A shop that changes its currency begins with a new database.",
)
TOO_MANY_DECIMALS: Final = Refusal(
    Conflict,
    "too_many_decimals",
    "Product {barcode} costs {price}, and {currency} has {digits} decimals. Begin with a new database, and import "
    "its products there.",
)
