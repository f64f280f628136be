"""A request's credential is read here: 401 for a missing, malformed or expired one, 403 for one without the right."""

from typing import Annotated, cast

import structlog
from fastapi import Depends
from starlette.requests import HTTPConnection

from duckycart.addresses import Client, client_of, within
from duckycart.api.credentials import (
    CART,
    CART_SCREEN,
    OPERATOR,
    SCREEN,
    SCREEN_COOKIE,
    SHOPPER,
    TOKEN_IN_URL,
    opened_by,
)
from duckycart.api.named import named_session
from duckycart.errors import DuckyCartError, Forbidden
from duckycart.keys import bearer, hash_of, is_key
from duckycart.lifecycle.access import (
    ByCart,
    ByCartScreen,
    ByLegacyScreen,
    ByOperator,
    ByScreen,
    ByShopper,
    Who,
    admit_screen,
    guest_may,
)
from duckycart.lifecycle.boots import checked_boot_id
from duckycart.lifecycle.calls import Proof, acknowledge, calling_cart, receipt
from duckycart.lifecycle.screens import name_of, screen_key
from duckycart.origins import refusal
from duckycart.refusals import (
    ANOTHER_CART,
    CARTS_ONLY,
    EXPIRED_GUEST,
    NO_CREDENTIAL,
    SCREEN_KEY_WITHDRAWN,
    SHOPPERS_ONLY,
    WRONG_KEY,
)
from duckycart.shop import LifespanState, Shop
from duckycart.tokens import ScreenToken

log = structlog.get_logger()


def shop_of(request: HTTPConnection) -> Shop:
    """Return the shop that the server of this request or socket has open."""
    return cast("HTTPConnection[LifespanState]", request).state["shop"]


async def _shop(request: HTTPConnection) -> Shop:
    # async, because FastAPI gives what is not a thread
    shop = shop_of(request)
    await shop.prices.learn()
    return shop


TheShop = Annotated[Shop, Depends(_shop)]


def address(request: HTTPConnection) -> str:
    """Return the client's address as limits count it; behind trusted proxies that of the client they name."""
    return _client(request).bucket


def _client(request: HTTPConnection) -> Client:
    peer = request.client.host if request.client else None
    return client_of(peer, request.headers.getlist, shop_of(request).settings.trusted_proxies)


@opened_by(CART, SHOPPER, SCREEN, OPERATOR)
async def who(request: HTTPConnection) -> Who:
    """Return who asks: a cart by its key, a shopper, operator or screen by a token.

    Raises Unauthenticated without a credential or with a bad one; Forbidden for a key that opens no cart.
    """
    key = request.headers.get("x-api-key") or None
    return await _whoever(request, key, bearer(request.headers.get("authorization")))


@opened_by(CART, CART_SCREEN, OPERATOR)
async def screen(request: HTTPConnection) -> Who:
    """Return who asks for a QR or a cart's stream: as `who`, a cart's screen by its cookie, or a screen in a network
    where screens need no credential.

    A screen of such a network may send the token of some session that was, so an Authorization header counts for
    nothing there. Elsewhere a header counts, and the cookie only where there is none. Neither the network nor the
    cookie counts for a web page of another origin: its browser has them, not the page.
    """
    cookie = request.cookies.get(SCREEN_COOKIE)
    legacy = legacy_screen(request)
    foreign = None if cookie is None and legacy is None else _foreign(request)
    counts = legacy is None or foreign is not None
    if request.headers.get("x-api-key") or (counts and "authorization" in request.headers):
        return await who(request)
    if foreign is not None:
        raise foreign
    if cookie is not None:
        return await _by_cart_screen(shop_of(request), cookie)
    return legacy or await who(request)


@opened_by(CART, SHOPPER, SCREEN, OPERATOR, TOKEN_IN_URL)
async def listener(request: HTTPConnection) -> Who:
    """Return who listens: as `who`, by a token that may be in the URL, since browsers set no header on streams.

    A screen's token opens these also when it opens nothing else any more: they say themselves how its session ended,
    and when they are over.
    """
    token = request.query_params.get("token") or bearer(request.headers.get("authorization"))
    return await _whoever(request, request.headers.get("x-api-key") or None, token, listens=True)


def legacy_screen(request: HTTPConnection) -> ByLegacyScreen | None:
    """Return who asks from a network where screens need no credential; None from any other."""
    client = _client(request)
    return ByLegacyScreen(client.bucket) if within(client.address, shop_of(request).settings.legacy_screens) else None


async def legacy_listener(websocket: HTTPConnection) -> Who:
    """Return who listens: as `listener`, or a screen in a network where screens need no credential, of whatever
    session. Raises Forbidden for a web page of another origin that shows no credential."""
    legacy = legacy_screen(websocket)
    if legacy is None:
        return await listener(websocket)
    if (foreign := _foreign(websocket)) is None:
        return legacy
    if "token" in websocket.query_params or not {"x-api-key", "authorization"}.isdisjoint(websocket.headers):
        return await listener(websocket)
    raise foreign


def _foreign(request: HTTPConnection) -> Forbidden | None:
    """Return what a web page is told that may not use what its browser has; None where the page is ours, or none."""
    socket = request.scope["type"] == "websocket"
    foreign = refusal(
        shop_of(request).settings,
        request.headers.getlist,
        socket=socket,
        peer=request.client.host if request.client else None,
        tls=request.scope["scheme"] in ("https", "wss"),
    )
    return None if foreign is None else foreign()


def limit_legacy(shop: Shop, caller: Who, topic: str) -> None:
    """Count a caller who shows no credential, by address and `topic`. Raises TooManyRequests."""
    if isinstance(caller, ByLegacyScreen):
        shop.legacy_screens.take(f"{topic} {caller.address}")


async def _whoever(request: HTTPConnection, key: str | None, bearer: str | None, *, listens: bool = False) -> Who:
    if key is None and bearer is not None and is_key(bearer):
        key = bearer
    if key is not None:
        return await _by_key(request, key)
    if bearer is None:
        raise NO_CREDENTIAL()
    token = shop_of(request).tokens.read_bearer(bearer)
    if isinstance(token, ScreenToken):
        if not listens:
            await _admit_screen(shop_of(request), token.session_id)
        return ByScreen(token.session_id)
    if token.outlived:
        await _require_guest(shop_of(request), token.user_id)
    return ByOperator(token.user_id) if token.is_operator else ByShopper(token.user_id)


async def _require_guest(shop: Shop, user_id: int) -> None:
    """Let a guest pass while its session lasts. Raises Unauthenticated when that is over, or never was."""
    steady = shop.clock.steady()
    if not await shop.store.look_up(lambda connection: guest_may(connection, user_id, steady)):
        raise EXPIRED_GUEST()


async def _admit_screen(shop: Shop, session_id: int) -> None:
    steady = shop.clock.steady()
    await shop.store.look_up(lambda connection: admit_screen(connection, session_id, steady))


async def _by_cart_screen(shop: Shop, cookie: str) -> ByCartScreen:
    token = shop.tokens.read_cart_screen(cookie)
    key_hash = await shop.store.look_up(lambda connection: screen_key(connection, token.cart_id))
    if key_hash is None or name_of(key_hash) != token.key:
        raise SCREEN_KEY_WITHDRAWN()
    return ByCartScreen(token.cart_id, token.key)


async def _by_key(request: HTTPConnection, key: str) -> ByCart:
    """Return the cart with this key. If the cart names its session, that is a receipt, written before anything else is
    done: whatever becomes of the call, at whichever door (F43)."""
    key_hash = hash_of(key)
    boot_id = checked_boot_id(request.headers.get("cart-boot-id"))
    session_id = await named_session(request)
    found = await shop_of(request).store.look_up(
        lambda connection: calling_cart(connection, key_hash, boot_id, session_id)
    )
    if found is None:
        raise WRONG_KEY()
    cart, proved = found
    if proved is not None and session_id is not None:
        await _acknowledge(shop_of(request), cart, session_id, proved)
    return cart


async def _acknowledge(shop: Shop, cart: ByCart, session_id: int, proved: Proof) -> None:
    try:
        await shop.store.write(lambda tx: acknowledge(tx, cart, session_id))
    except DuckyCartError as error:
        log.warning("receipt by call not written", cart=cart.cart_id, session=session_id, reason=error.code)
        shop.dispatch.received(receipt(cart, session_id, proved))  # a fact before it is written


@opened_by(CART, SHOPPER, SCREEN, OPERATOR)
async def of_session(request: HTTPConnection) -> Who:
    """Return who speaks of a session: as `who`, or a screen in a network where screens need no credential, whose header
    counts for nothing. Raises Forbidden for a web page of another origin that shows no credential."""
    legacy = legacy_screen(request)
    if legacy is None:
        return await who(request)
    if (foreign := _foreign(request)) is None:
        return legacy
    if not {"x-api-key", "authorization"}.isdisjoint(request.headers):
        return await who(request)
    raise foreign


WithCredential = Annotated[Who, Depends(who)]
OfSession = Annotated[Who, Depends(of_session)]
TheScreen = Annotated[Who, Depends(screen)]
Listening = Annotated[Who, Depends(listener)]


@opened_by(CART)
async def cart(request: HTTPConnection) -> ByCart:
    caller = await who(request)
    if not isinstance(caller, ByCart):
        raise CARTS_ONLY()
    return caller


@opened_by(SHOPPER)
async def shopper(request: HTTPConnection) -> ByShopper:
    caller = await who(request)
    if not isinstance(caller, ByShopper):
        raise SHOPPERS_ONLY()
    return caller


TheCart = Annotated[ByCart, Depends(cart)]
TheShopper = Annotated[ByShopper, Depends(shopper)]


def require_cart(caller: Who, cart_id: int) -> None:
    """Let the cart itself pass, its screen, an operator, and a screen that needs no credential. Raises Forbidden."""
    match caller:
        case ByOperator() | ByLegacyScreen():
            return
        case ByCart(own) | ByCartScreen(own) if own == cart_id:
            return
    raise ANOTHER_CART()
