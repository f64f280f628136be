"""A request that is valid, at a usual endpoint, is answered the quick way; whatever else comes goes FastAPI's own.

FastAPI declares: paths, models, refusals and OpenAPI come from it, and the quick way reads with its very fields. What
it does besides for every request (exit stacks, a response to collect headers in, a search for what an endpoint might
want) costs more than a transition. So a route plans once how its usual request runs, and runs that. Nothing has
happened yet when the quick way finds that a request is not valid: FastAPI then begins anew, and every refusal has one
source.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, fields
from inspect import iscoroutinefunction, signature
from typing import Any, Final

from fastapi import Request, Response, params
from fastapi.datastructures import DefaultPlaceholder
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import ResponseValidationError
from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

from duckycart.api.bodies import BodyRoute, body_first
from duckycart.json_text import NotJson, read_json

_JSON: Final = (b"content-type", b"application/json")
_NOT_VALID: Final = object()


@dataclass(frozen=True, slots=True)
class Plan:
    """What the endpoint of a route wants, by the names of its parameters, and how its answer is written."""

    endpoint: Callable[..., Awaitable[Any]]
    path: tuple[Any, ...]  # FastAPI's fields, as are the next two
    body: Any | None
    answer: Any | None  # None where the endpoint returns responses
    dependencies: tuple[tuple[str | None, Callable[..., Any]], ...]  # asked for the request, in this order
    request: str | None
    response: str | None


class QuickRoute(BodyRoute):
    """A route that answers usual requests the quick way, if its endpoint wants nothing unusual."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._begins = self.path_format.partition("{")[0]
        plan = plan_of(self)
        if plan is not None:
            self.app = Quick(plan, self.app)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return whether this is the request's route; most are not, which the path's beginning tells at once."""
        if not scope["path"].startswith(self._begins):
            return Match.NONE, {}
        return super().matches(scope)


class Quick:
    """ASGI application of one route: the quick way, before FastAPI's."""

    def __init__(self, plan: Plan, ordinary: ASGIApp) -> None:
        self._plan = plan
        self._ordinary = ordinary

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        plan, request = self._plan, Request(scope, receive, send)
        values: dict[str, Any] = {}
        for field in plan.path:
            value, errors = field.validate(scope["path_params"][field.alias], values, loc=("path", field.alias))
            if errors:
                await self._ordinary(scope, receive, send)
                return
            values[field.name] = value
        if plan.body is not None:
            body = await request.body()
            value = _read(plan.body, body)
            if value is _NOT_VALID:
                await self._ordinary(scope, body_first(request, body), send)
                return
            values[plan.body.name] = value
        # What has effects comes after all that can make a request invalid.
        for name, dependency in plan.dependencies:
            solved = await dependency(request)
            if name is not None:
                values[name] = solved
        if plan.request is not None:
            values[plan.request] = request
        headers: list[tuple[bytes, bytes]] = []
        if plan.response is not None:
            response = values[plan.response] = Response()
            headers = response.raw_headers
            headers.clear()
        answer = await plan.endpoint(**values)
        if isinstance(answer, Response):
            await answer(scope, receive, send)
            return
        content = _written(plan.answer, answer)
        start = [(b"content-length", b"%d" % len(content)), _JSON, *headers]
        await send({"type": "http.response.start", "status": 200, "headers": start})
        await send({"type": "http.response.body", "body": content})


def _read(field: Any, body: bytes) -> Any:
    """Return the value of the body's field; _NOT_VALID for a body that is to be refused, or is unusual."""
    if not body and not field.field_info.is_required():
        return field.default
    try:
        content = read_json(body)
    except NotJson:
        return _NOT_VALID
    if not isinstance(content, dict):
        return _NOT_VALID
    value, errors = field.validate(content, {}, loc=("body",))
    return _NOT_VALID if errors else value


def _written(field: Any, answer: Any) -> bytes:
    value, errors = field.validate(answer, {}, loc=("response",))
    if errors:
        raise ResponseValidationError(errors=errors, body=answer)
    content: bytes = field.serialize_json(value)
    return content


def plan_of(route: APIRoute) -> Plan | None:
    """Return how a usual request of this route runs; None for a route that wants something unusual."""
    wanted, body = route.dependant, route.body_field
    if wanted.call is None or not iscoroutinefunction(wanted.call) or not _wanted_by(wanted) <= _OF_ENDPOINT:
        return None
    if not all(iscoroutinefunction(one.call) and _wanted_by(one) in _OF_DEPENDENCY for one in wanted.dependencies):
        return None
    if body is not None and (route._embed_body_fields or type(body.field_info) is not params.Body):
        return None
    if body is not None and not body.field_info.is_required() and body.default is not None:
        return None
    if not isinstance(route.response_class, DefaultPlaceholder) or route.status_code not in (None, 200):
        return None
    if route.response_field is None and not _returns_responses(wanted.call):
        return None
    if any(getattr(route, f"response_model_{option}") for option in _OPTIONS) or not route.response_model_by_alias:
        return None
    return Plan(
        endpoint=wanted.call,
        path=tuple(wanted.path_params),
        body=body,
        answer=route.response_field,
        dependencies=tuple((one.name, one.call) for one in wanted.dependencies if one.call is not None),
        request=wanted.request_param_name,
        response=wanted.response_param_name,
    )


_OPTIONS: Final = ("include", "exclude", "exclude_unset", "exclude_defaults", "exclude_none")
_OF_ENDPOINT: Final = {"path_params", "body_params", "dependencies", "request_param_name", "response_param_name"}
_OF_DEPENDENCY: Final = ({"request_param_name"}, {"http_connection_param_name"})
_OF_ALL: Final = {"name", "call", "path", "scope", "use_cache"}


def _returns_responses(endpoint: Callable[..., Any]) -> bool:
    returned = signature(endpoint).return_annotation
    return isinstance(returned, type) and issubclass(returned, Response)


def _wanted_by(one: Dependant) -> set[str]:
    """Return what FastAPI found in the signature of a function, by its own names."""
    return {field.name for field in fields(one) if getattr(one, field.name)} - _OF_ALL
