"""A cart gets its key by a claim code: the cart makes a key of its own, and who knows the code makes it known, once.

So no key is typed, shown or sent to anybody, and a call whose answer was lost may be repeated: the same code with the
same key is the same pairing.
"""

from typing import Final

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from duckycart.effects import AlarmKind
from duckycart.hardware.ownership import withdraw
from duckycart.lifecycle.carts import raise_alarm
from duckycart.refusals import BAD_CLAIM_CODE
from duckycart.store.tables import alarms, pairings
from duckycart.store.transaction import Transaction

CODE_MINUTES: Final = 10  # for which a claim code is good
_QUIET: Final = 3_600_000  # ms between two alarms about guessed codes


def issue_code(tx: Transaction, cart_id: int, code_hash: bytes) -> None:
    """Let this code, and no earlier one, give a cart that exists its next key, for CODE_MINUTES."""
    void_code(tx, cart_id)
    expires_at = tx.steady + CODE_MINUTES * 60_000
    tx.connection.execute(insert(pairings).values(cart_id=cart_id, code_hash=code_hash, expires_at=expires_at))


def void_code(tx: Transaction, cart_id: int) -> None:
    """Let no code give the cart a key."""
    tx.connection.execute(delete(pairings).where(pairings.c.cart_id == cart_id))


def pair(tx: Transaction, code_hash: bytes, key_hash: bytes) -> int:
    """Give the cart of this code its key; a link that was made with an earlier one is withdrawn. Returns the cart's id.

    The same code with the same key again changes nothing. Raises BAD_CLAIM_CODE for a code that is unknown, too old or
    was used for another key, and for a key that another cart has.
    """
    known = select(pairings).where(pairings.c.code_hash == code_hash).with_for_update()
    row = tx.connection.execute(known).one_or_none()
    if row is None or row.expires_at <= tx.steady or row.key_hash not in (None, key_hash):
        raise BAD_CLAIM_CODE()
    cart_id: int = row.cart_id
    if row.key_hash is None:
        try:
            withdraw(tx, cart_id, {"key_hash": key_hash})
        except IntegrityError as error:
            raise BAD_CLAIM_CODE() from error
        tx.connection.execute(update(pairings).where(pairings.c.cart_id == cart_id).values(key_hash=key_hash))
    return cart_id


def note_guesses(tx: Transaction, address: str) -> None:
    """Raise an alarm about codes that somebody tries out, once an hour."""
    lately = alarms.c.kind == AlarmKind.CODES_GUESSED, alarms.c.at > tx.now - _QUIET
    if not tx.connection.execute(select(func.count()).select_from(alarms).where(*lately)).scalar_one():
        detail = f"From {address} came claim codes that are none, many in a minute: somebody tries them out."
        raise_alarm(tx, AlarmKind.CODES_GUESSED, detail)
