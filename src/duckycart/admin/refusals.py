"""The commands of the administration refuse these, beside what the database itself refuses (store/refusals.py)."""

from typing import Final

from duckycart.errors import BadRequest, Conflict, NotFound, Refusal, Unavailable
from duckycart.refusals import DATABASE_UNAVAILABLE, UNKNOWN_CART

# The database
NO_DATABASE: Final = Refusal(
    NotFound,
    "no_database",
    "There is no database {place}. Name the server's with --database; `duckycart carts add 1` makes one.",
)
NOT_A_FILE: Final = Refusal(
    BadRequest, "not_a_file", "This works on an SQLite file only; for PostgreSQL use its own tools (pg_dump)."
)
NO_FILE_TO_RESTORE: Final = NOT_A_FILE.saying(
    "This restores an SQLite file only; a PostgreSQL database is restored by pg_restore."
)
DATABASE_BUSY: Final = Refusal(
    Unavailable, "database_busy", "The database was locked by others for too long; nothing was changed. Try again."
)
CANNOT_USE: Final = Refusal(
    Unavailable, DATABASE_UNAVAILABLE.code, "The database cannot be used: {reason}. Nothing was changed."
)
CANNOT_READ_OR_WRITE: Final = Refusal(Unavailable, "cannot_read_or_write", "Cannot read or write{name}: {reason}.")

# Files to write
BAD_TARGET: Final = Refusal(BadRequest, "bad_target", "{target} is a directory; name the file to write.")
NO_DIRECTORY: Final = BAD_TARGET.saying("There is no directory {directory}; make it, or name another file.")
TARGET_IS_THE_DATABASE: Final = BAD_TARGET.saying("{target} is the database itself; name another file.")
COPY_TO_A_FILE: Final = BAD_TARGET.saying("A file is copied with `duckycart db backup`; this is for PostgreSQL.")
FILE_EXISTS: Final = Refusal(
    Conflict, "file_exists", "{target} is there already; name another file, or replace it with --force."
)
FILE_IN_USE: Final = Refusal(
    Conflict, "file_in_use", "{leftover} shows that {target} is open elsewhere; name another file."
)
DAMAGED_NO_BACKUP: Final = Refusal(
    Unavailable, "damaged", "The database is damaged, no backup was kept; SQLite says: {verdict}"
)
NOT_DUCKYCART: Final = Refusal(
    BadRequest, "not_duckycart", "This is no database of DuckyCart, no backup was kept; see --database."
)

# Certificates
BAD_NAME_OF_SERVER: Final = Refusal(
    BadRequest, "bad_server_name", "{given} is no name or address of a server; give ones like shop.lan or 192.168.7.2."
)
NAME_NOT_PERMITTED: Final = Refusal(
    BadRequest,
    "name_not_permitted",
    "The shop's authority in {folder} may not sign for {given}: it was made for private addresses, local names and "
    "{permitted}. With --new-authority another one is made; every device has to trust that one anew.",
)
NO_AUTHORITY: Final = Refusal(
    NotFound, "no_authority", "There is no authority in {folder}; `duckycart tls make` makes one, or name its --folder."
)
NOT_AN_AUTHORITY: Final = Refusal(
    Unavailable, "not_an_authority", "{file} cannot be used: {reason}. --new-authority makes both anew."
)

# What is typed
BAD_EMAIL: Final = Refusal(BadRequest, "bad_email", "{given} is no e-mail address; give one like ann@example.com.")
BAD_NAME: Final = Refusal(BadRequest, "bad_name", "{given} is no name; give at least one character, on one line.")
LONG_NAME: Final = BAD_NAME.saying("A name has at most {most} characters.")
BAD_PASSWORD: Final = Refusal(BadRequest, "bad_password", "A password has {least} to {most} characters.")
PASSWORD_NOT_UTF_8: Final = BAD_PASSWORD.saying("The password on standard input is not UTF-8.")
BAD_CART_ID: Final = Refusal(
    BadRequest, "bad_cart_id", "{given} is no cart: give a number from 1 to {most}, or a range like 1-50."
)
RANGE_BACKWARDS: Final = BAD_CART_ID.saying("The range {given} ends before it begins.")
NOT_ONE_CART: Final = BAD_CART_ID.saying("{given} is a range; this works on one cart at a time.")
RANGE_TOO_LARGE: Final = Refusal(
    BadRequest, "range_too_large", "At most {most} carts can be added at once; split the range."
)
BAD_KEY: Final = Refusal(
    BadRequest,
    "bad_key",
    "A key has {least} to {most} visible ASCII characters without spaces; leave --key out.",
)
BAD_PICTURE: Final = Refusal(BadRequest, "bad_picture", "{given} must end in .png or .svg.")
KEY_FOR_RANGE: Final = Refusal(
    BadRequest, "key_for_range", "Every cart needs a key of its own: give --key with a single cart only."
)
BAD_SETTINGS: Final = Refusal(BadRequest, "bad_settings", "The DUCKYCART_… variables are not valid; give --public-url.")
BAD_SETTING: Final = Refusal(BadRequest, "bad_setting", "A setting in the environment has a wrong value: {settings}.")

# Carts
NO_CART: Final = UNKNOWN_CART.saying("There is no cart {cart_id}; `duckycart carts list` shows all.")
CART_EXISTS: Final = Refusal(
    Conflict,
    "cart_exists",
    "There is already a cart {carts}; none was added. `duckycart carts rotate-key` gives a new key.",
)
KEY_TAKEN: Final = Refusal(
    Conflict, "key_taken", "Another cart has this key already; every cart needs a key of its own."
)
