"""Small set-ups that several of these tests share."""

import asyncio
import threading
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any
from unittest import mock

from sqlalchemy import update

from duckycart.keys import hash_of
from duckycart.lifecycle.access import ByOperator
from duckycart.lifecycle.sessions import force_end
from duckycart.store.tables import carts
from duckycart.store.transaction import Transaction
from duckycart.testing.cart import CartConnection
from duckycart.testing.waiting import until
from tests.world import Shop

GENERATE_QR = '{"type": "generate_qr", "data": null}'
PATH = "/ws/hardware/1"


def said(kind: str, session_id: int) -> str:
    return f'{{"type": "{kind}", "data": {session_id}}}'


_opened: list[CartConnection] = []


async def connect(
    shop: Shop, path: str = PATH, headers: dict[str, str] | None = None, *, answers: bool = True
) -> CartConnection:
    """A connection whose handshake was answered, whichever way; cart 1 with its key unless told otherwise."""
    cart = await CartConnection.open(
        shop.endpoint, path, shop.cart_headers() if headers is None else headers, answer_pings=answers
    )
    _opened.append(cart)
    return cart


async def cut_all(shop: Shop) -> None:
    """Every connection made with `connect` is gone, on both sides."""
    while _opened:
        _opened.pop().cut()
    await until(lambda: not shop.inside.dispatch.links)


async def raw(shop: Shop, cart_id: int = 1, *, answers: bool = True, boot: str | None = None) -> CartConnection:
    """A cart's connection that was taken in; without `answers` one whose pongs never come."""
    headers = shop.cart_headers(cart_id) | ({} if boot is None else {"Cart-Boot-Id": boot})
    cart = await connect(shop, f"/ws/hardware/{cart_id}", headers, answers=answers)
    assert cart.status == 101
    return cart


async def refused(shop: Shop, path: str = PATH, headers: dict[str, str] | None = None) -> tuple[int, str | None]:
    """(status, Retry-After) of a connection that was answered with an HTTP status and closed."""
    cart = await connect(shop, path, headers)
    await cart.gone()
    assert cart.response is not None
    return cart.status, cart.response.headers.get("Retry-After")


async def heard(cart: CartConnection, *texts: str) -> None:
    """Until the cart heard these, which must be all it ever heard."""
    await until(lambda: len(cart.texts) >= len(texts))
    assert cart.texts == list(texts)


async def end_by_force(shop: Shop, session_id: int) -> None:
    await shop.inside.store.write(lambda tx: force_end(tx, ByOperator(0), session_id, shop.inside.rules))


async def rotate_key(shop: Shop, key: str, cart_id: int = 1, *, disabled: bool = False) -> None:
    """What another process does: the row changes, and nobody here is told."""

    def change(tx: Transaction) -> None:
        tx.connection.execute(
            update(carts)
            .where(carts.c.id == cart_id)
            .values(
                key_hash=hash_of(key),
                disabled=disabled,
                link_epoch=carts.c.link_epoch + 1,
                link_node=None,
                link_changed_at=tx.now,
            )
        )

    await shop.inside.store.write(change)


@contextmanager
def handed_over(shop: Shop) -> Iterator[mock.MagicMock]:
    """`called` once something was handed to the store inside the block."""
    store = shop.inside.store
    with mock.patch.object(store, "write", wraps=store.write) as write:
        yield write


Logged = list[MutableMapping[str, Any]]


def of(logged: Logged, event: str) -> Logged:
    """The lines of the log that say this."""
    return [line for line in logged if line["event"] == event]


@contextmanager
def writer_blocked(shop: Shop) -> Iterator[None]:
    """Every cart is locked until the end of the block; what is handed over meanwhile waits behind."""
    begun, go_on = threading.Event(), threading.Event()

    def busy(tx: Transaction) -> None:
        tx.connection.execute(update(carts).values(last_seq=carts.c.last_seq))
        begun.set()
        go_on.wait(30)

    busy_until = asyncio.ensure_future(shop.inside.store.write(busy))
    assert begun.wait(30)
    try:
        yield
    finally:
        go_on.set()
        del busy_until
