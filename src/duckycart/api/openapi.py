"""This module adds to FastAPI's own OpenAPI document the credentials, refusals, headers and examples of every call.

The document is made once, when it is first asked for. Nothing here is done for a request.
"""

import re
from collections.abc import Callable, Iterable
from functools import cache
from itertools import chain
from typing import Any, Final, TypeVar

from fastapi import FastAPI, Request, Response
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute, iter_route_contexts
from fastapi.security.base import SecurityBase

from duckycart.api.credentials import CART, CART_SCREEN, OPENED_BY, OPERATOR, SHOPPER
from duckycart.api.errors import TITLES, content_of
from duckycart.api.limits import MAX_BODY, MAX_QUERY
from duckycart.api.who import who
from duckycart.api.writes import MAX_KEY, MAX_WAIT
from duckycart.errors import DuckyCartError, Refusal
from duckycart.lifecycle.basket import MAX_WEIGHT
from duckycart.lifecycle.boots import MAX_BOOT_ID
from duckycart.lifecycle.rules import Rules
from duckycart.refusals import (
    ANOTHER_CART,
    BAD_BODY,
    BAD_BOOT_ID,
    BAD_CREDENTIAL,
    BAD_IDEMPOTENCY_KEY,
    BODY_TOO_LARGE,
    CARTS_ONLY,
    FOREIGN_ORIGIN,
    INTERNAL_ERROR,
    INVALID_JSON,
    INVALID_REQUEST,
    KEY_REUSED,
    NOT_STORABLE,
    QUERY_TOO_LONG,
    SCREEN_KEY_WITHDRAWN,
    SHOPPERS_ONLY,
    STORE_FAILS,
    WRONG_KEY,
)
from duckycart.store.states import CommandState

Json = dict[str, Any]

DESCRIPTION: Final = """
The calls of carts, screens and phones. Success is exactly 200. Every refusal is a problem document (RFC 9457) whose
`code` is for programs and whose `detail` is a sentence for people; a refused call has changed nothing. 401 says that
the credential is missing, malformed or expired, and nothing else.

What is sent to carts, screens and phones is described by AsyncAPI, at `/asyncapi.json`.
"""

# Of calls that run once for an Idempotency-Key, and of those that make a command besides: a route's `openapi_extra`.
ONCE: Final[Json] = {"parameters": [{"$ref": "#/components/parameters/Idempotency-Key"}]}
PREFER: Final[Json] = {"parameters": [{"$ref": "#/components/parameters/Prefer"}]}
ONCE_AND_PREFER: Final[Json] = {"parameters": ONCE["parameters"] + PREFER["parameters"]}

_CART_BOOT: Final[Json] = {"$ref": "#/components/parameters/Cart-Boot-Id"}

_PARAMETERS: Final[Json] = {
    "Idempotency-Key": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "The same request with the same key is done once; within 24 h its repetitions get the same "
        "result. Only successes are kept.",
        "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY, "pattern": "^[!-~]+$"},
        "example": "b7e1c6f0-1",
    },
    "Cart-Boot-Id": {
        "name": "Cart-Boot-Id",
        "in": "header",
        "description": "Of a cart: the boot that calls, as on its socket. A call that names the cart's session is a "
        "receipt of `session_started`; with this header it is known whose.",
        "schema": {"type": "string", "minLength": 1, "maxLength": MAX_BOOT_ID, "pattern": "^[!-~]+$"},
        "example": "5f0c9a52d1e84b7a",
    },
    "Prefer": {
        "name": "Prefer",
        "in": "header",
        "description": f"`wait=N`: answer when the cart has received the command, or after N seconds (at most "
        f"{MAX_WAIT}).",
        "schema": {"type": "string"},
        "example": "wait=3",
    },
}
_HEADERS: Final[Json] = {
    "Hardware-Delivery": {
        "description": "What became of the command to the cart. `received` means read by the cart's socket. Missing "
        "when the call made no command.",
        "schema": {"type": "string", "enum": [state.value for state in CommandState]},
        "example": CommandState.SENT.value,
    },
    "Preference-Applied": {
        "description": "How long this call was willing to wait, if it was asked to.",
        "schema": {"type": "string"},
        "example": "wait=3",
    },
    "Retry-After": {
        "description": "When to try again, in seconds.",
        "schema": {"type": "integer", "minimum": 1},
        "example": 2,
    },
    "WWW-Authenticate": {
        "description": "The scheme that is wanted.",
        "schema": {"type": "string", "const": "Bearer"},
        "example": "Bearer",
    },
}
_HEADERS_OF_STATUS: Final = {401: "WWW-Authenticate", 429: "Retry-After", 503: "Retry-After"}

_PROBLEM: Final[Json] = {
    "type": "object",
    "description": "A refusal or failure (RFC 9457); nothing was changed.",
    "required": ["type", "title", "status", "detail", "code", "message"],
    "properties": {
        "type": {"type": "string", "const": "about:blank"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "a plain sentence"},
        "code": {"type": "string", "description": "for programs; stable"},
        "message": {"type": "string", "description": "the same as detail, for older clients"},
        "session_id": {"type": "integer", "description": "the session it is about"},
        "cart_id": {"type": "integer", "description": "the cart it is about"},
        "errors": {
            "type": "array",
            "description": "what is wrong with which field",
            "items": {
                "type": "object",
                "required": ["field", "problem"],
                "properties": {"field": {"type": "string"}, "problem": {"type": "string"}},
            },
        },
    },
}
# What stands in the sentences and fields of refusals, by its name.
_IN_REFUSALS: Final[Json] = {
    "barcode": 6221000000012,
    "cart_id": 1,
    "errors": [{"field": "session_id", "problem": "must be a whole number"}],
    "kilograms": MAX_WEIGHT // 1000,
    "lines": Rules().basket_lines,
    "session_id": 7,
    "units": Rules().line_quantity,
}
_OF_ONE: Final[dict[Refusal[Any], Json]] = {
    BAD_BOOT_ID: {"length": MAX_BOOT_ID},
    BAD_IDEMPOTENCY_KEY: {"length": MAX_KEY},
    BODY_TOO_LARGE: {"bytes": MAX_BODY},
    INVALID_JSON: {"why": "The body is not valid JSON: it ends too early (line 1, column 2)."},
    INVALID_REQUEST: {"why": "The session_id must be a whole number."},
    QUERY_TOO_LONG: {"bytes": MAX_QUERY},
}


Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])
REFUSALS: Final[dict[Callable[..., Any], tuple[Refusal[Any], ...]]] = {}


def refuses(*refusals: Refusal[Any]) -> Callable[[Endpoint], Endpoint]:
    """Declares what an operation refuses besides what follows from its credential, its body and its headers; stands
    below the router's decorator."""

    def declare(endpoint: Endpoint) -> Endpoint:
        REFUSALS[endpoint] = refusals
        return endpoint

    return declare


def install(app: FastAPI) -> None:
    """Make the application's `/openapi.json` complete."""
    plain = app.openapi

    def openapi() -> Json:
        if app.openapi_schema is None:
            app.openapi_schema = _complete(plain(), app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # the way FastAPI gives

    @cache
    def written() -> bytes:
        return bytes(JSONResponse(openapi()).body)

    async def serve(_: Request) -> Response:
        return Response(written(), media_type="application/json")  # FastAPI writes it anew for each, 7 ms of the loop

    app.router.routes[:] = [route for route in app.routes if getattr(route, "path", None) != app.openapi_url]
    app.add_route(str(app.openapi_url), serve, include_in_schema=False)


def _complete(document: Json, app: FastAPI) -> Json:
    schemas = document["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's own refusals, which are ours here
        schemas.pop(name, None)
    examples: Json = {}
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        if isinstance(route, APIRoute) and route.include_in_schema:
            for method in context.methods or ():
                _complete_operation(document["paths"][context.path_format][method.lower()], route, schemas, examples)
    document["components"] |= {
        "schemas": {**schemas, "Problem": _PROBLEM},
        "securitySchemes": {
            scheme.scheme_name: jsonable_encoder(scheme.model, exclude_none=True)
            for scheme in chain.from_iterable(OPENED_BY.values())
        },
        "parameters": _PARAMETERS,
        "headers": _HEADERS,
        "examples": dict(sorted(examples.items())),
    }
    return document


def _complete_operation(operation: Json, route: APIRoute, schemas: Json, examples: Json) -> None:
    sentence = re.match(r".+?(?=[.;:]\s|\.$)", operation["description"], re.DOTALL)
    assert sentence is not None, route.path
    operation["summary"] = " ".join(sentence[0].split())
    if callers := _callers(route):
        operation["security"] = [{caller.scheme_name: []} for caller in callers]
    if CART in callers:
        # Not appended: operations share lists.
        operation["parameters"] = [*operation.get("parameters", ()), _CART_BOOT]
    for parameter in operation.get("parameters", ()):
        if "name" in parameter and "example" not in parameter:
            parameter["example"] = _sample(parameter["schema"], schemas)
    answer = operation["responses"]["200"]
    for content in (answer["content"], operation.get("requestBody", {}).get("content", {})):
        for media_type, body in content.items():
            if media_type in ("application/json", "application/x-www-form-urlencoded") and "example" not in body:
                body["example"] = _sample(body["schema"], schemas)
    if _names(operation, "Prefer"):
        answer.setdefault("headers", {}).update(_refs("headers", ("Hardware-Delivery", "Preference-Applied")))
    operation["responses"] = {"200": answer, **_refusals(_problems(operation, route), examples)}


def _callers(route: APIRoute) -> tuple[SecurityBase, ...]:
    """Return the credentials that open a route; none where everybody may."""
    for dependency in route.dependant.dependencies:
        if dependency.call in OPENED_BY:
            of_a_cart = dependency.call is who and "{cart_id}" in route.path
            return (CART, OPERATOR) if of_a_cart else OPENED_BY[dependency.call]
    return ()


def _problems(operation: Json, route: APIRoute) -> list[Json]:
    """Return an example of each problem document that the operation may answer with instead of 200."""
    refusals = list(REFUSALS.get(route.endpoint, ()))
    callers = _callers(route)
    if callers:
        refusals += [*BAD_CREDENTIAL, WRONG_KEY, BAD_BOOT_ID]
    if CART_SCREEN in callers:
        refusals += [SCREEN_KEY_WITHDRAWN, FOREIGN_ORIGIN]
    if callers and "{cart_id}" in route.path:
        refusals.append(ANOTHER_CART)
    elif len(callers) == 1:
        refusals.append({CART: CARTS_ONLY, SHOPPER: SHOPPERS_ONLY}[callers[0]])
    if _names(operation, "Idempotency-Key"):
        refusals += [BAD_IDEMPOTENCY_KEY, KEY_REUSED]
    if route.dependant.dependencies:
        refusals += [*STORE_FAILS, NOT_STORABLE]  # each may ask the database
    if route.body_field is not None:
        refusals.append(BAD_BODY)
    if "application/json" in operation.get("requestBody", {}).get("content", {}) and route.body_field is not None:
        refusals.append(INVALID_JSON)
    if route.body_field is not None or _bounded(operation):
        refusals.append(INVALID_REQUEST)
    return [content_of(example_of(refusal)) for refusal in (*refusals, BODY_TOO_LARGE, QUERY_TOO_LONG, INTERNAL_ERROR)]


def example_of(refusal: Refusal[Any]) -> DuckyCartError:
    """Return the refusal as a call would raise it, for the documents."""
    error: DuckyCartError = refusal(**_IN_REFUSALS, **_OF_ONE.get(refusal, {}))
    return error


def _bounded(operation: Json) -> bool:
    given = [one for one in operation.get("parameters", ()) if one.get("in") in ("path", "query")]
    schemas = [one.get("schema", {}) for one in given]
    forms = [form for schema in schemas for form in (schema, *schema.get("anyOf", ()))]
    return any({"minimum", "maximum", "maxLength"} & form.keys() for form in forms)


def _refusals(problems: Iterable[Json], examples: Json) -> Json:
    """Return the operation's responses by status, each with its codes and an example of each code."""
    by_status: dict[int, dict[str, Json]] = {}
    for problem in problems:
        by_status.setdefault(problem["status"], {})[problem["code"]] = problem
    responses: Json = {}
    for status, by_code in sorted(by_status.items()):
        codes = sorted(by_code)
        examples.update({f"{status}-{code}": {"value": by_code[code]} for code in codes})
        schema = {
            "$ref": "#/components/schemas/Problem",
            "properties": {"status": {"const": status}, "code": {"enum": codes}},
        }
        named = {code: {"$ref": f"#/components/examples/{status}-{code}"} for code in codes}
        response = {
            "description": f"{TITLES[status]}: " + ", ".join(f"`{code}`" for code in codes) + ".",
            "content": {"application/problem+json": {"schema": schema, "examples": named}},
        }
        if status in _HEADERS_OF_STATUS:
            response["headers"] = _refs("headers", [_HEADERS_OF_STATUS[status]])
        responses[str(status)] = response
    return responses


def _names(operation: Json, parameter: str) -> bool:
    return {"$ref": f"#/components/parameters/{parameter}"} in operation.get("parameters", ())


def _refs(kind: str, names: Iterable[str]) -> Json:
    return {name: {"$ref": f"#/components/{kind}/{name}"} for name in names}


def _sample(schema: Json, schemas: Json) -> Any:
    """Return an example of a schema, put together from the examples of its fields."""
    for keyword in ("const", "default"):
        if schema.get(keyword) is not None:
            return schema[keyword]
    if "examples" in schema:
        return schema["examples"][0]
    if "$ref" in schema:
        return _sample(schemas[schema["$ref"].rsplit("/", 1)[1]], schemas)
    match schema.get("type"):
        case "object":
            return {key: _sample(each, schemas) for key, each in schema["properties"].items()}
        case "array":
            return [_sample(schema["items"], schemas)] if schema["items"] else []
    return _sample(next(each for each in schema["anyOf"] if "$ref" in each), schemas) if schema else None
