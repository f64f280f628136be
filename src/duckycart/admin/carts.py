"""`duckycart carts` says which carts there are, and which key opens each."""

import re
from pathlib import Path
from typing import Annotated, Final

import typer

from duckycart import defaults
from duckycart.admin.refusals import (
    BAD_CART_ID,
    BAD_KEY,
    BAD_PICTURE,
    BAD_SETTINGS,
    KEY_FOR_RANGE,
    NOT_ONE_CART,
    RANGE_BACKWARDS,
    RANGE_TOO_LARGE,
)
from duckycart.admin.shell import DatabaseOption, JsonOption, Shell, quoted, table
from duckycart.clock import SystemClock
from duckycart.keys import MAX_KEY, MIN_KEY, hash_of, is_key, new_code, new_key
from duckycart.wire import ID, MAX_ID

FLEET: Final = 50_000  # carts added at once: all in one transaction, for which a running server has to wait

PICTURES: Final = (".png", ".svg")

_RANGE: Final = re.compile(rf"({ID})(?:-({ID}))?")

app = typer.Typer(no_args_is_help=True, help="Add carts, give them keys, switch them off.")

CartArgument = Annotated[str, typer.Argument(metavar="ID", help="The cart's number.", show_default=False)]
KeyOption = Annotated[
    str | None,
    typer.Option(
        "--key",
        help=f"A key of your own, at least {MIN_KEY} random characters. Better left out: a key is then made, "
        "and no other user of this machine can read it in the list of processes.",
        show_default=False,
    ),
]


@app.command()
def add(
    carts: Annotated[
        str, typer.Argument(metavar="ID|FROM-TO", help="A number, or a range for a fleet.", show_default=False)
    ],
    key: KeyOption = None,
    database: DatabaseOption = defaults.DATABASE,
    as_json: JsonOption = False,
) -> None:
    """Add a cart, or a whole fleet, and print each key. A key is shown this once: only its hash is kept.

    One cart: duckycart carts add 7

    A fleet: duckycart carts add 1-50 --json > keys.json
    """
    from duckycart.admin.fleet import add_carts

    with Shell(database, as_json) as shell:
        ids = _ids(carts)
        if key is not None and len(ids) > 1:
            raise KEY_FOR_RANGE()
        keys = {cart_id: _checked(key) for cart_id in ids}
        hashes = {cart_id: hash_of(given) for cart_id, given in keys.items()}
        shell.write(lambda tx: add_carts(tx, hashes), create=True)
        added = [{"id": cart_id, "key": given} for cart_id, given in keys.items()]
        shell.answer({"carts": added}, table(("CART", "KEY"), *keys.items()))
        shell.hint("Keys are shown this once. Give each cart its own: DUCKYCART_KEY=… duckycart cart ID")


@app.command("list")
def list_(database: DatabaseOption = defaults.DATABASE, as_json: JsonOption = False) -> None:
    """List all carts: what each does, and which server holds its connection.

    For a program: duckycart carts list --json
    """
    from duckycart.admin.fleet import list_carts

    with Shell(database, as_json) as shell:
        with shell.open().connect() as connection:
            listed = list_carts(connection)
        rows = [
            (
                cart["id"],
                "disabled" if cart["disabled"] else "out of service" if cart["out_of_service"] else cart["status"],
                cart["session_id"] or "-",
                cart["node"] or "-",
                cart["link_changed_at"] or "never",
            )
            for cart in listed
        ]
        shell.answer({"carts": listed}, table(("CART", "STATE", "SESSION", "CONNECTED TO", "SINCE"), *rows))


@app.command()
def show(cart: CartArgument, database: DatabaseOption = defaults.DATABASE, as_json: JsonOption = False) -> None:
    """Show one cart: what it does, what it has yet to hear, how its last connections ended, for what it was refused.

    Look here when a cart does not hear, or comes and goes. Changes nothing.

    Example: duckycart carts show 7
    """
    from duckycart.admin.cart import describe, show_cart

    with Shell(database, as_json) as shell:
        cart_id = _id(cart)
        with shell.open().connect() as connection:
            shown = show_cart(connection, cart_id, SystemClock().now())
        shell.answer(shown, describe(shown))


@app.command("rotate-key")
def rotate_key(
    cart: CartArgument,
    key: KeyOption = None,
    database: DatabaseOption = defaults.DATABASE,
    as_json: JsonOption = False,
) -> None:
    """Give a cart another key and print it once. The old key is void at once.

    A connection made with the old key is closed within seconds. A session
    goes on: the cart continues it when it is back with the new key.

    Example: duckycart carts rotate-key 7
    """
    from duckycart.admin import fleet

    with Shell(database, as_json) as shell:
        cart_id, new_key = _id(cart), _checked(key)
        shell.write(lambda tx: fleet.rotate_key(tx, cart_id, hash_of(new_key)))
        shell.answer({"id": cart_id, "key": new_key}, table(("CART", "KEY"), (cart_id, new_key)))
        shell.hint("The key is shown this once. The old one is void; a connection made with it closes within seconds.")


@app.command("claim-code")
def claim_code(cart: CartArgument, database: DatabaseOption = defaults.DATABASE, as_json: JsonOption = False) -> None:
    """Print a code by which the cart's program fetches its key: nobody types or sees the key.

    The code is good once, for ten minutes. On the cart:
    duckycart cart pair CODE --url https://shop.example:8000
    The key that the cart had is void from then on.

    Example: duckycart carts claim-code 7
    """
    from duckycart.admin import fleet
    from duckycart.hardware.pairing import CODE_MINUTES

    with Shell(database, as_json) as shell:
        cart_id, code = _id(cart), new_code()
        shell.write(lambda tx: fleet.claim_code(tx, cart_id, hash_of(code)))
        shown = f"{code[:4]}-{code[4:]}"
        shell.answer(
            {"id": cart_id, "code": shown, "minutes": CODE_MINUTES},
            table(("CART", "CLAIM CODE", "GOOD FOR"), (cart_id, shown, f"{CODE_MINUTES} minutes")),
        )
        shell.hint(f"On the cart: duckycart cart pair {shown} --url …, where the server is.")


@app.command()
def disable(cart: CartArgument, database: DatabaseOption = defaults.DATABASE, as_json: JsonOption = False) -> None:
    """Let a cart in no more, for one that is lost or stolen. Its connection is closed within seconds.

    A session that is active stays so: an operator ends it.
    `enable` undoes this; the key stays the same.

    Example: duckycart carts disable 7
    """
    from duckycart.admin import fleet

    with Shell(database, as_json) as shell:
        cart_id = _id(cart)
        shell.write(lambda tx: fleet.disable(tx, cart_id))
        shell.answer({"id": cart_id, "disabled": True}, f"Cart {cart_id} is disabled.")


@app.command()
def enable(cart: CartArgument, database: DatabaseOption = defaults.DATABASE, as_json: JsonOption = False) -> None:
    """Let a disabled cart in again, with the key it had.

    Example: duckycart carts enable 7
    """
    from duckycart.admin import fleet

    with Shell(database, as_json) as shell:
        cart_id = _id(cart)
        shell.write(lambda tx: fleet.enable(tx, cart_id))
        shell.answer({"id": cart_id, "disabled": False}, f"Cart {cart_id} is enabled.")


@app.command("screen-key")
def screen_key(
    cart: CartArgument,
    remove: Annotated[
        bool, typer.Option("--remove", help="Withdraw the key; the screen then needs a new one.")
    ] = False,
    public_url: Annotated[
        str | None,
        typer.Option("--public-url", help="Where the screen finds the server; else what the server said at its start."),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option("--picture", metavar="FILE", help="Write the address as a QR too, into FILE.png or FILE.svg."),
    ] = None,
    database: DatabaseOption = defaults.DATABASE,
    as_json: JsonOption = False,
) -> None:
    """Give a cart's screen a key and print it once, with the address to open.

    In a terminal the address is drawn as a QR below: scan it with the tablet.

    Open the address once on the screen, in the browser it is to run in; it
    remembers. A key that it had before is void at once, and what was open
    with it ends within seconds; a session that goes on stays on the screen.

    Example: duckycart carts screen-key 7
    """
    from duckycart import drawn_qr
    from duckycart.admin import fleet
    from duckycart.store.file import make_private

    with Shell(database, as_json) as shell:
        cart_id = _id(cart)
        if remove:
            shell.write(lambda tx: fleet.set_screen_key(tx, cart_id, None))
            shell.answer({"id": cart_id, "key": None}, f"Cart {cart_id} has no screen key any more.")
            return
        if picture is not None and picture.suffix.lower() not in PICTURES:
            raise BAD_PICTURE(given=quoted(str(picture)))
        url = _public_url(shell, public_url)
        key = _checked(None)
        url = f"{url}/screen/{cart_id}#{key}"
        if picture is not None:  # first: where it cannot be written, the key before stays good
            make_private(picture)  # whoever sees it has the key
            picture.write_bytes(drawn_qr.picture(url, picture.suffix[1:].lower()))
        shell.write(lambda tx: fleet.set_screen_key(tx, cart_id, hash_of(key)))
        shell.answer(
            {"id": cart_id, "key": key, "url": url}, table(("CART", "SCREEN KEY", "OPEN ONCE"), (cart_id, key, url))
        )
        shell.draw(url)
        shell.hint("The key is shown this once. Open the address on the cart's screen; any earlier key is void.")


def _public_url(shell: Shell, given: str | None) -> str:
    """Return the server's URL: what was given here, or in this environment, else what the server said when it started.

    Raises BadRequest when the settings cannot be read.
    """
    from pydantic import ValidationError

    from duckycart.settings import Settings
    from duckycart.store.shop_address import read_address

    try:
        settings = Settings() if given is None else Settings.model_construct(public_url=given)
    except ValidationError as error:
        raise BAD_SETTINGS() from error
    if settings.public_url is None:
        with shell.open().connect() as connection:
            return read_address(connection) or settings.url
    return settings.url


def _ids(given: str) -> range:
    match = _RANGE.fullmatch(given)
    if match is None:
        raise BAD_CART_ID(given=quoted(given), most=MAX_ID)
    first, last = int(match[1]), int(match[2] or match[1])
    if last < first:
        raise RANGE_BACKWARDS(given=given)
    if last - first >= FLEET:
        raise RANGE_TOO_LARGE(most=FLEET)
    return range(first, last + 1)


def _id(given: str) -> int:
    ids = _ids(given)
    if len(ids) != 1:
        raise NOT_ONE_CART(given=given)
    return ids[0]


def _checked(key: str | None) -> str:
    """Return the key that was given, or a new one."""
    if key is None:
        return new_key()
    if not is_key(key):
        raise BAD_KEY(least=MIN_KEY, most=MAX_KEY)
    return key
