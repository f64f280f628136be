"""This module describes, in AsyncAPI 3, what is sent to carts, screens and phones, from the models that encode it."""

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from duckycart import wire
from duckycart.api.who import TheShop
from duckycart.channels.channels import HEARTBEAT_SECONDS
from duckycart.channels.messages import MESSAGES, SessionStarted, example
from duckycart.effects import NewsKind
from duckycart.hardware.ending import DEAD, RESTART, TAKEN_OVER, WITHDRAWN_OR_FLOOD, Ended
from duckycart.hardware.link import PONG_SECONDS, SILENCE_SECONDS
from duckycart.hardware.socket import MAX_FRAME
from duckycart.lifecycle.news import GRACE_SECONDS
from duckycart.wire import MAX_ID, Command, CommandType

router = APIRouter(include_in_schema=False)

Json = dict[str, Any]

_COMMANDS: Final[dict[CommandType, tuple[str, str]]] = {
    CommandType.GENERATE_QR: ("A QR was asked for.", "The cart prepares its display."),
    CommandType.SESSION_STARTED: ("The QR was scanned, and the session exists.", "The cart starts shopping mode."),
    CommandType.PAYMENT_CREATED: ("A payment exists.", "The cart holds everything and blocks fraud."),
    CommandType.END_SESSION: ("The session was paid, or ended.", "The cart goes back to idle."),
}
CART_REFUSALS: Final = {
    400: "the cart id is not an integer, or a header or the boot id is malformed",
    401: "no key",
    403: "unknown or disabled cart, or wrong key; without a key, a web page of another origin",
    429: "too many connects; `Retry-After` says when to come back",
    503: "stopping or overloaded; `Retry-After` says when to come back",
}
CART_CLOSES: Final = {
    1002: "a frame broke the WebSocket protocol",
    1007: "a text frame was not UTF-8",
    WITHDRAWN_OR_FLOOD: "the key was withdrawn, or the cart sends too many frames",
    1009: f"a frame was over {MAX_FRAME} bytes",
    RESTART: "the server restarts; come back",
    DEAD: f"no pong came for {PONG_SECONDS:.0f} s",
    TAKEN_OVER: Ended.TAKEN_OVER.words,
}
SESSION_REFUSALS: Final = {
    401: "no credential, or a malformed or expired one",
    403: f"no such session, another's, or one that ended more than {GRACE_SECONDS} s ago; without a token, a web page "
    "of another origin",
    429: "too many calls without a credential; `Retry-After` says when to come back",
    503: "stopping, or the database cannot answer; `Retry-After` says when to come back",
}
SESSION_CLOSES: Final = {
    1000: f"the session is over, since {GRACE_SECONDS} s for a socket that was open",
    1008: "too many frames came",
    1009: "a message to the server was too big",
    1011: "no pong came",
    RESTART: "the server restarts; come back",
    1013: "too many listen to this session, or at this address, and this one came first",
}

_SCHEMES: Final[Json] = {
    "cart": {"type": "httpApiKey", "in": "header", "name": "X-API-Key", "description": "The cart's own key."},
    "cartInUrl": {
        "type": "httpApiKey",
        "in": "query",
        "name": "key",
        "description": "The cart's own key, for carts that can set no header.",
    },
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "A cart's own key; a shopper's, screen's or operator's token.",
    },
    "token": {
        "type": "httpApiKey",
        "in": "query",
        "name": "token",
        "description": "A shopper's, screen's or operator's token, for browsers, which set no header here.",
    },
}
_NUMBER: Final = f"An integer from 1 to {MAX_ID}, without leading zeros."
_CART_ID: Final = {"cart_id": {"description": _NUMBER, "examples": ["1"]}}
_SESSION_ID: Final = {"session_id": {"description": _NUMBER, "examples": ["7"]}}
_BOOT: Final = {
    "type": "string",
    "pattern": "^[!-~]{1,64}$",
    "description": "Changes with each boot of the cart. A new one hears the present session's commands again; one that "
    "was here before hears what it has not heard. The cart's HTTP calls may name it too, as `Cart-Boot-Id`.",
}


@router.get("/asyncapi.json")
async def document(shop: TheShop) -> Response:
    """Serve the AsyncAPI document of this server's public URL."""
    return Response(_written(shop.settings.url), media_type="application/json")


@lru_cache(1)
def _written(url: str) -> bytes:
    return bytes(JSONResponse(describe(url)).body)


@lru_cache(1)
def describe(url: str) -> Json:
    """Return the AsyncAPI document of a server that is reached at `url`."""
    commands = [_command(command_type) for command_type in CommandType]
    models: dict[NewsKind, type[BaseModel]] = {NewsKind.SESSION_STARTED: SessionStarted, **MESSAGES}
    news = {kind: _news(kind, model) for kind, model in models.items()}
    start = news.pop(NewsKind.SESSION_STARTED)
    _, definitions = models_json_schema(
        [(model, "serialization") for model in models.values()], ref_template="#/components/schemas/{model}"
    )
    return {
        "asyncapi": "3.0.0",
        "id": "urn:duckycart:server",
        "info": {
            "title": "DuckyCart",
            "version": "1",
            "description": "What is sent to carts, screens and phones. Their calls are at `/openapi.json`.",
            "tags": [{"name": "carts"}, {"name": "screens"}],
        },
        "defaultContentType": "application/json",
        "servers": {"sockets": _server(url, {"http": "ws", "https": "wss"}), "streams": _server(url, {})},
        "channels": {
            "hardware": _channel(
                "sockets", "/ws/hardware/{cart_id}", _HARDWARE, _CART_ID, commands, _socket({"boot": _BOOT}, _BOOT)
            ),
            "session": _channel("sockets", "/ws/{session_id}", _SESSION, _SESSION_ID, news.values(), _socket({})),
            "sessionEvents": _channel(
                "streams", "/customer-session/{session_id}/events", _SESSION_EVENTS, _SESSION_ID, news.values()
            ),
            "cartEvents": _channel("streams", "/sse/{cart_id}", _CART_EVENTS, _CART_ID, [start]),
        },
        "operations": {
            "commandCart": _send("hardware", "Tell a cart what to do.", "cart", "bearer", "cartInUrl"),
            "tellSession": _send("session", "Tell the listeners of a session what happens.", "cart", "bearer", "token"),
            "streamSession": _send(
                "sessionEvents", "Tell the listeners of a session what happens.", "cart", "bearer", "token", http=True
            ),
            "streamCart": _send(
                "cartEvents", "Tell the listeners of a cart which session it has.", "cart", "bearer", http=True
            ),
        },
        "components": {
            "messages": {_key(message): message for message in (*commands, *news.values(), start)},
            "schemas": definitions["$defs"],
            "securitySchemes": _SCHEMES,
        },
    }


def _key(message: Json) -> str:
    return str(message["name"]).replace(" ", "_")


def _command(command_type: CommandType) -> Json:
    when, then = _COMMANDS[command_type]
    schema = wire.schema(command_type)
    session_id = None if command_type is CommandType.GENERATE_QR else 7
    payload = json.loads(wire.encode(Command(command_type, session_id)))
    return _message(command_type, when, f"{when} {then}", schema, payload)


def _news(kind: NewsKind, model: type[BaseModel]) -> Json:
    assert model.__doc__ is not None
    sentence = " ".join(model.__doc__.split())
    return _message(
        kind, sentence, sentence, {"$ref": f"#/components/schemas/{model.__name__}"}, json.loads(example(kind))
    )


def _message(name: str, summary: str, description: str, payload: Json, example: Json) -> Json:
    title = str(name).replace("_", " ").replace("-", " ").capitalize()
    return {
        "name": str(name),
        "title": title,
        "summary": summary,
        "description": description,
        "contentType": "application/json",
        "payload": payload,
        "examples": [{"name": str(name).replace(" ", "_"), "payload": example}],
    }


def _server(url: str, protocols: Mapping[str, str]) -> Json:
    parts = urlsplit(url)
    server = {
        "host": parts.netloc,
        "protocol": protocols.get(parts.scheme, parts.scheme),
        "description": "The server that serves this document, as phones and screens reach it.",
    }
    return server | ({"pathname": parts.path} if parts.path else {})


def _channel(
    server: str,
    address: str,
    description: str,
    parameters: Json,
    messages: Iterable[Json],
    bindings: Json | None = None,
) -> Json:
    return {
        "address": address,
        "servers": [{"$ref": f"#/servers/{server}"}],
        "description": description,
        "parameters": parameters,
        "messages": {_key(message): {"$ref": f"#/components/messages/{_key(message)}"} for message in messages},
        **({"bindings": bindings} if bindings else {}),
    }


def _socket(query: Json, boot: Json | None = None) -> Json:
    """Return what a WebSocket handshake may carry besides its credential, as an AsyncAPI binding."""
    binding: Json = {"method": "GET", "bindingVersion": "0.1.0"}
    if query:
        binding["query"] = {"type": "object", "properties": query}
    if boot is not None:
        binding["headers"] = {"type": "object", "properties": {"Cart-Boot-Id": boot}}
    return {"ws": binding}


def _send(channel: str, summary: str, *schemes: str, http: bool = False) -> Json:
    operation: Json = {
        "action": "send",
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": summary,
        "security": [{"$ref": f"#/components/securitySchemes/{scheme}"} for scheme in schemes],
    }
    return operation | ({"bindings": {"http": {"method": "GET", "bindingVersion": "0.3.0"}}} if http else {})


def _table(title: str, rows: Mapping[int, str]) -> str:
    return f"| {title} | |\n|---|---|\n" + "".join(f"| {number} | {text} |\n" for number, text in rows.items())


_HARDWARE: Final = f"""
The one socket that a cart keeps open. The server sends commands, in order: JSON in UTF-8, a text frame each, with
exactly the fields `type` and `data`. A cart that connects is told what it has to know now. It owes the server nothing
but pongs, which every WebSocket library sends by itself: a ping follows each command, and {SILENCE_SECONDS:.0f} s of
silence. Text from a cart is ignored. Where `DUCKYCART_KEYLESS_CARTS` names its network, a cart needs no key.

{_table("refused in the handshake with", CART_REFUSALS)}
{_table("closed with", CART_CLOSES)}"""
_SESSION: Final = f"""
What happens in a session, for its screens and phones. Any number of sockets may be open, and all hear all. One that
opens in mid-session hears `cart-updated` with 0 first; one that opens within {GRACE_SECONDS} s after the end hears the
last message. What is sent to the server is ignored. Who does not read is dropped.

{_table("refused in the handshake with", SESSION_REFUSALS)}
{_table("closed with", SESSION_CLOSES)}"""
_SESSION_EVENTS: Final = f"""
The same messages as server-sent events, default events, with the session's version as `id`: who missed some reads the
state again. A comment comes after {HEARTBEAT_SECONDS:.0f} s of silence. `/openapi.json` says how it is refused.
"""
_CART_EVENTS: Final = f"""
Server-sent events, default events: each session of the cart as it starts, and to a newcomer the present one. A comment
comes after {HEARTBEAT_SECONDS:.0f} s of silence. `/openapi.json` says how it is refused.
"""
