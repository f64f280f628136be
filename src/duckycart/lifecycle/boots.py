"""A cart boots anew now and then; the database keeps which boots it has had, and what each of them has heard.

A command's row says what the boot that holds the cart's link has. So when another boot takes the cart over, what the
one before has heard is kept, and the rows are made to say what the other one has: nothing of the present if it is new,
for its memory is empty (F32); if it was here before, what it had heard then. So an old handshake that comes through
late takes nothing from the boot that lives: when that one is back, it hears what it lacks, and nothing again (F41).

Who lacks nothing up to a command has not read all that came before it: a boot that began after a session needs no end
of it. So a command's row keeps which boot read it (`read_by`) while it speaks of one that lacks it, and names that
reader when it is `received` once more without having been read anew: `received` is never said of a boot that did not
read (F42).
"""

import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Connection, Executable, and_, bindparam, case, delete, func, insert, or_, select, update

from duckycart.lifecycle.carts import Cart
from duckycart.refusals import BAD_BOOT_ID
from duckycart.store.prepared import Row, prepared
from duckycart.store.states import CommandState
from duckycart.store.tables import OUTSTANDING, boots, commands
from duckycart.store.transaction import Transaction
from duckycart.wire import CommandType

MAX_BOOT_ID: Final = 64
_BOOT_ID: Final = re.compile(rf"[\x21-\x7e]{{1,{MAX_BOOT_ID}}}")
UNNAMED: Final = ""  # who names no boot where one was named before
KEPT: Final = 16  # boots of one cart; one that was here before them counts as new


@dataclass(frozen=True, slots=True)
class Boot:
    """A boot of a cart; the fields are those of the table."""

    id: str
    generation: int
    heard_seq: int = 0
    told_seq: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """A connection claims its cart for another boot than the one whose link was the last."""

    cart: Cart  # its row, with the epoch of the new link and the generation of the boot before
    before: str | None  # None: there was none
    now: str


_COLUMNS: Final = (boots.c.cart_id, boots.c.boot_id, boots.c.generation, boots.c.heard_seq, boots.c.told_seq)
# Receipts take no lock of the cart, so these rows are locked too; all who lock several do it in this order, and after
# commands, or they would wait in a circle.
_KNOWN: Final = (
    select(*_COLUMNS)
    .where(boots.c.cart_id.in_(bindparam("carts", expanding=True)))
    .order_by(boots.c.cart_id, boots.c.generation)
    .with_for_update(key_share=True)
)
_FIND: Final = prepared(
    select(*_COLUMNS).where(boots.c.cart_id == bindparam("cart"), boots.c.boot_id == bindparam("boot"))
)
_OLDEST: Final = (
    select(boots.c.boot_id).where(boots.c.cart_id == bindparam("cart")).order_by(boots.c.left_epoch.desc()).offset(KEPT)
)
_NEWEST_HEARD: Final = (
    select(commands.c.seq)
    .where(
        commands.c.cart_id == boots.c.cart_id,
        commands.c.seq > boots.c.heard_seq,
        commands.c.boot_generation == boots.c.generation,
        commands.c.state == CommandState.RECEIVED,
    )
    .order_by(commands.c.seq.desc())
    .limit(1)
    .scalar_subquery()
)
_LEAVE: Final = (
    update(boots)
    .where(boots.c.cart_id == bindparam("cart"), boots.c.boot_id == bindparam("boot"))
    .values(
        heard_seq=func.coalesce(_NEWEST_HEARD, boots.c.heard_seq),
        told_seq=bindparam("told"),
        left_epoch=bindparam("epoch"),
    )
)
_HEAR: Final = prepared(
    update(boots)
    .where(
        boots.c.cart_id == bindparam("cart"),
        boots.c.generation == bindparam("number"),
        boots.c.heard_seq < bindparam("heard"),
    )
    .values(heard_seq=bindparam("heard"))
)
_FORGET_OLDEST: Final = delete(boots).where(
    boots.c.cart_id == bindparam("cart"), boots.c.boot_id.in_(_OLDEST), boots.c.boot_id != bindparam("now")
)

_OF_CART: Final = commands.c.cart_id == bindparam("cart")
_SEVERAL: Final = or_(
    commands.c.several_boots, and_(commands.c.attempted, commands.c.boot_generation != bindparam("number"))
)
# Who has read a command that the boot `number` does not lack. Nobody noted: then it is that one, for a command that no
# boot had read yet is handed to each before any later one, or is void for all.
READER: Final = func.coalesce(commands.c.read_by, bindparam("number"))
_HAS: Final = (
    update(commands)
    .where(_OF_CART, commands.c.seq <= bindparam("heard"), OUTSTANDING)
    .values(state=CommandState.RECEIVED, received_at=bindparam("at"), boot_generation=READER, several_boots=_SEVERAL)
)
_LACKS: Final = (
    update(commands)
    .where(
        _OF_CART,
        commands.c.seq > bindparam("heard"),
        commands.c.state != CommandState.SUPERSEDED,
        # This boot's own receipt, of which `heard` knows only once it has left the cart.
        or_(commands.c.state != CommandState.RECEIVED, commands.c.boot_generation != bindparam("number")),
    )
    # Also what is still outstanding: a late receipt of the boot before must not settle it.
    .values(
        state=CommandState.QUEUED,
        sent_at=None,
        received_at=None,
        boot_generation=bindparam("number"),
        several_boots=_SEVERAL,
        read_by=case((commands.c.state == CommandState.RECEIVED, commands.c.boot_generation), else_=commands.c.read_by),
    )
)
_start: Final = commands.alias("start")
_LACKS_OF_SESSION: Final = _LACKS.where(commands.c.session_id == bindparam("session"))
_LACKS_QR: Final = _LACKS.where(commands.c.seq == bindparam("newest"), commands.c.type == CommandType.GENERATE_QR.value)
_LACKS_END: Final = _LACKS.where(
    commands.c.type == CommandType.END_SESSION.value,
    select(_start.c.seq)
    .where(
        _start.c.session_id == commands.c.session_id,
        _start.c.type == CommandType.SESSION_STARTED.value,
        _start.c.seq <= bindparam("told"),
    )
    .exists(),
)


def checked_boot_id(boot_id: str | None) -> str | None:
    """Return the boot id as it was sent, if it was. Raises BadRequest for one that cannot be one."""
    if boot_id is not None and _BOOT_ID.fullmatch(boot_id) is None:
        raise BAD_BOOT_ID(length=MAX_BOOT_ID)
    return boot_id


def find_boot(connection: Connection, cart_id: int, boot_id: str) -> Boot | None:
    """Return a boot that had the cart's link before the present one; None if it never had, or long ago."""
    row = _FIND.one_or_none(connection, cart=cart_id, boot=boot_id)
    return None if row is None else _boot(row)


def note_heard(tx: Transaction, heard: Mapping[tuple[int, int], int]) -> None:
    """Note, by cart and generation, up to which seq a boot has everything. Of the boot that has the link, the rows say
    so."""
    rows = [{"cart": cart, "number": boot, "heard": seq} for (cart, boot), seq in sorted(heard.items())]
    if rows:
        _HEAR.many(tx.connection, rows)


def change_boots(tx: Transaction, changes: Collection[Change]) -> dict[int, int]:
    """Make each of these carts another boot's, and let its commands' rows say what that one has. Returns the generation
    of that boot, by cart; writing it into the cart's row is left to the caller.

    The carts must be locked, and their outstanding commands.
    """
    known: defaultdict[int, dict[str, Boot]] = defaultdict(dict)
    for row in tx.connection.execute(_KNOWN, {"carts": [change.cart.id for change in changes]}):
        known[row.cart_id][row.boot_id] = _boot(row)
    _remember(tx, [change for change in changes if change.before not in (None, *known[change.cart.id])])
    _run(tx, _LEAVE, [
        {"cart": change.cart.id, "boot": change.before, "told": change.cart.last_seq, "epoch": change.cart.link_epoch}
        for change in changes if change.before is not None
    ])  # fmt: skip
    taking = [(change.cart, _takes(tx, change, known[change.cart.id].get(change.now))) for change in changes]
    _tell_rows(tx, taking)
    return {cart.id: boot.generation for cart, boot in taking}


def _takes(tx: Transaction, change: Change, known: Boot | None) -> Boot:
    """Return the boot that has the cart now. Who does not say that its memory is gone hears nothing again that the boot
    before has."""
    boot = known or Boot(change.now, change.cart.link_epoch)
    if boot.id != UNNAMED or change.before is None:
        return boot
    before = find_boot(tx.connection, change.cart.id, change.before)
    return boot if before is None else replace(boot, heard_seq=max(boot.heard_seq, before.heard_seq))


def _remember(tx: Transaction, changes: Collection[Change]) -> None:
    """Add a row for each boot before, which leaves for the first time in these changes."""
    _run(tx, insert(boots), [
        {
            "cart_id": change.cart.id,
            "boot_id": change.before,
            "generation": change.cart.boot_generation,
            "heard_seq": 0,
            "told_seq": 0,
            "left_epoch": change.cart.link_epoch,
        }
        for change in changes
    ])  # fmt: skip
    # The one that is back may be the oldest; it is not gone.
    _run(tx, _FORGET_OLDEST, [{"cart": change.cart.id, "now": change.now} for change in changes])


def _tell_rows(tx: Transaction, taking: Collection[tuple[Cart, Boot]]) -> None:
    """Let the rows say what each boot has: that is received, and what it lacks of the present is queued. Of a session
    that is over, and of which the boot may have heard, it may lack the end."""
    of = {cart.id: {"cart": cart.id, "number": boot.generation, "heard": boot.heard_seq} for cart, boot in taking}
    _run(tx, _HAS, [{**of[cart.id], "at": tx.now} for cart, boot in taking if boot.heard_seq])
    _run(tx, _LACKS_OF_SESSION, [
        {**of[cart.id], "session": cart.session_id} for cart, _ in taking if cart.session_id is not None
    ])  # fmt: skip
    _run(tx, _LACKS_QR, [
        {**of[cart.id], "newest": cart.last_seq}
        for cart, _ in taking if cart.session_id is None and cart.qr_expires_at > tx.steady
    ])  # fmt: skip
    _run(tx, _LACKS_END, [{**of[cart.id], "told": boot.told_seq} for cart, boot in taking if boot.told_seq])


def _run(tx: Transaction, statement: Executable, rows: list[dict[str, Any]]) -> None:
    if rows:
        tx.connection.execute(statement, rows)


def _boot(row: Row) -> Boot:
    return Boot(row.boot_id, row.generation, row.heard_seq, row.told_seq)
