"""Screens and phones open their streams and sockets here. Who may is decided here; the rest is `channels/`."""

import re
from contextlib import suppress
from typing import Any, Final

import structlog
from fastapi import Depends, Request, Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from duckycart.api.errors import problem
from duckycart.api.inputs import CartId, SessionId
from duckycart.api.methods import get_only
from duckycart.api.openapi import refuses
from duckycart.api.resource import resource_router
from duckycart.api.who import (
    Listening,
    TheScreen,
    TheShop,
    address,
    legacy_listener,
    limit_legacy,
    require_cart,
    screen,
    shop_of,
)
from duckycart.channels.messages import MESSAGES, encode, encode_start, example
from duckycart.channels.socket import serve_socket
from duckycart.channels.stream import EventStream, event
from duckycart.effects import News, NewsKind
from duckycart.errors import DuckyCartError, Gone, NotFound
from duckycart.lifecycle.access import ByCartScreen, Who
from duckycart.lifecycle.news import present_news, start_of_session
from duckycart.refusals import (
    NO_SUCH_SESSION,
    SESSION_GONE,
    TOO_MANY_LISTENERS,
    TOO_MANY_OPENINGS,
    TOO_MANY_REQUESTS,
    UNKNOWN_CART,
    UNKNOWN_SESSION,
)
from duckycart.tokens import ScreenToken
from duckycart.wire import ID

log = structlog.get_logger()
router = resource_router(tags=["screens"])

_SESSION_ID: Final = re.compile(ID)


def _stream_of(*events: str) -> dict[int | str, dict[str, Any]]:
    """Return what OpenAPI says of a stream that sends such events."""
    description = "Server-sent events, without end; `/asyncapi.json` describes each. A comment every 15 s of silence."
    content = {"schema": {"type": "string"}, "example": "".join(events)}
    return {200: {"description": description, "content": {"text/event-stream": content}}}


@router.get(
    "/sse/{cart_id}",
    responses=_stream_of(event(example(NewsKind.SESSION_STARTED))),
    response_class=Response,
    dependencies=[Depends(get_only)],
)
@refuses(UNKNOWN_CART, TOO_MANY_REQUESTS, TOO_MANY_LISTENERS, TOO_MANY_OPENINGS)
async def of_cart(request: Request, shop: TheShop, caller: TheScreen, cart_id: CartId) -> EventStream:
    """Hear each session of the cart as it starts. The present one is said at once; each comes with a screen's token."""
    require_cart(caller, cart_id)
    limit_legacy(shop, caller, f"cart {cart_id}")
    newest = 0

    async def opening() -> News | None:
        return await shop.store.read(lambda connection: start_of_session(connection, cart_id))

    async def write(news: News) -> str:
        nonlocal newest
        if news.session_id <= newest:
            return ""  # it started between subscription and opening
        require_cart(await screen(request), cart_id)  # a key may have been withdrawn since
        newest = news.session_id
        return event(encode_start(news, shop.tokens.screen(ScreenToken(news.session_id))))

    key = caller.key if isinstance(caller, ByCartScreen) else None
    return EventStream(shop.channels, ("cart", cart_id), address(request), opening, write, key)


@router.get(
    "/customer-session/{session_id}/events",
    responses=_stream_of(*(event(example(kind), version) for version, kind in enumerate(MESSAGES, 1))),
    response_class=Response,
    dependencies=[Depends(get_only)],
)
@refuses(UNKNOWN_SESSION, SESSION_GONE, TOO_MANY_LISTENERS, TOO_MANY_OPENINGS)
async def of_session(
    request: Request,
    shop: TheShop,
    caller: Listening,
    session_id: SessionId,
) -> EventStream:
    """Hear what happens in a session. `id` is the session's version: who missed some reads the state again."""

    async def opening() -> News:
        steady = shop.clock.steady()
        return await shop.store.read(lambda connection: present_news(connection, caller, session_id, steady))

    async def write(news: News) -> str:
        return event(encode(news), news.version)

    return EventStream(shop.channels, ("session", session_id), address(request), opening, write)


@router.websocket("/ws/{session_id}")
async def session_socket(websocket: WebSocket, session_id: str) -> None:
    """Send the session's screen what it is to hear. A refusal comes before the upgrade: fielded screens take that for
    the last word."""
    with suppress(WebSocketDisconnect):  # it went away while it was spoken to
        try:
            await _serve(websocket, session_id)
        except DuckyCartError as error:
            status = 403 if isinstance(error, NotFound | Gone) else error.status
            log.info("screen refused", session=session_id[:20], reason=error.code, status=status)
            retry = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
            await websocket.send_denial_response(problem(status, error.code, error.detail, headers=retry))


async def _serve(websocket: WebSocket, session_id: str) -> None:
    caller = await legacy_listener(websocket)
    if not _SESSION_ID.fullmatch(session_id):
        raise NO_SUCH_SESSION()
    number = int(session_id)
    channels = shop_of(websocket).channels
    with channels.listening(("session", number), address(websocket)) as listening:
        present = await _present(websocket, caller, number)
        channels.opened(("session", number), listening, present)
        await serve_socket(websocket, listening, present)


async def _present(websocket: WebSocket, caller: Who, session_id: int) -> News:
    shop = shop_of(websocket)
    steady = shop.clock.steady()
    try:
        news = await shop.store.read(lambda connection: present_news(connection, caller, session_id, steady))
    except (NotFound, Gone):
        limit_legacy(shop, caller, "no session")
        raise
    limit_legacy(shop, caller, f"cart {news.cart_id}")
    return news
