"""Every request of the tests of a folder is answered the quick way, and once more FastAPI's own: the answers are the
same.

What a request brings about happens once. While the quick way runs, each dependency and endpoint is recorded: what it
was given, what came of it. The ordinary way is then taken by the same request, and each gives what was recorded instead
of doing it again; so what is compared is all that the two ways do themselves.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import replace
from functools import wraps
from typing import Any
from unittest import mock

from fastapi import Response
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from duckycart.api import (
    auth,
    carts,
    feedback,
    health,
    items,
    locations,
    pay_page,
    payments,
    screens,
    sessions,
    warnings,
)
from duckycart.api.quick import Quick
from duckycart.app import build_app

RESOURCES = (auth, carts, feedback, health, items, locations, pay_page, payments, screens, sessions, warnings)


class Tape:
    """What the dependencies and the endpoint of one request were given, and what came of it."""

    def __init__(self) -> None:
        self.kept: dict[Any, tuple[dict[str, Any], Any, BaseException | None, list[tuple[bytes, bytes]]]] = {}
        self.replays = False
        self.wrong: list[str] = []

    async def play(self, function: Callable[..., Any], request: tuple[Any, ...], named: dict[str, Any]) -> Any:
        given = {name: value for name, value in named.items() if not isinstance(value, HTTPConnection | Response)}
        headers = next((one.raw_headers for one in named.values() if isinstance(one, Response)), [])
        if self.replays:
            if function not in self.kept:
                raise AssertionError(f"only FastAPI asks {function}")
            before, result, error, more = self.kept[function]
            if before != given:
                self.wrong.append(f"{function} was given {before}, and by FastAPI {given}")
            headers.extend(more)
        else:
            result, error = None, None
            try:
                result = await function(*request, **named)
            except BaseException as raised:
                error = raised
            self.kept[function] = given, result, error, list(headers)
        if error is not None:
            raise error
        return result


_tape: ContextVar[Tape | None] = ContextVar("_tape", default=None)


def recorded(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    async def play(*arguments: Any, **named: Any) -> Any:
        tape = _tape.get()
        return await (function(*arguments, **named) if tape is None else tape.play(function, arguments, named))

    return play


class BothWays:
    """ASGI middleware that answers as the quick way did, and compares."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.compared = 0
        self.wrong: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._app, name)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        tape = Tape()
        came: list[Message] = []
        quick: list[Message] = []
        ordinary: list[Message] = []
        token = _tape.set(tape)

        async def recording() -> Message:
            came.append(await receive())
            return came[-1]

        async def answer(message: Message) -> None:
            quick.append(message)
            await send(message)

        async def again() -> Message:
            return came.pop(0) if came else await receive()

        async def compare(message: Message) -> None:
            ordinary.append(message)

        try:
            await self._app({**scope}, recording, answer)
            if tape.kept:
                tape.replays = True
                await self._app({**scope}, again, compare)
                self.compared += 1
                if _parts(quick) != _parts(ordinary):
                    tape.wrong.append(f"{quick} and the ordinary way {ordinary}")
                self.wrong += [f"{scope['method']} {scope['path']}: {what}" for what in tape.wrong]
        finally:
            _tape.reset(token)


def _parts(messages: list[Message]) -> Any:
    body = b"".join(message.get("body", b"") for message in messages)
    return messages[:1] and (messages[0]["status"], list(messages[0]["headers"]), body)


@contextmanager
def both_ways() -> Iterator[list[BothWays]]:
    """While this lasts, the tests' servers answer both ways."""
    made: list[BothWays] = []
    answer = Quick.__call__
    routes = {route.app: route for route in quick_routes()}
    one_at_a_time = asyncio.Lock()

    async def by_turns(self: Quick, scope: Scope, receive: Receive, send: Send) -> None:
        tape = _tape.get()
        if tape is None or not tape.replays:
            await answer(self, scope, receive, send)
            return
        async with one_at_a_time:
            with ExitStack() as stack:
                for one in (routes[self].dependant, *routes[self].dependant.dependencies):
                    stack.enter_context(mock.patch.object(one, "call", recorded(one.call)))
                await self._ordinary(scope, receive, send)

    def build(*arguments: Any) -> Any:
        made.append(BothWays(build_app(*arguments)))
        return made[-1]

    with ExitStack() as stack:
        stack.enter_context(mock.patch("tests.world.build_app", build))
        stack.enter_context(mock.patch.object(Quick, "__call__", by_turns))
        for quick in routes:
            plan = quick._plan
            dependencies = tuple((name, recorded(function)) for name, function in plan.dependencies)
            plan = replace(plan, endpoint=recorded(plan.endpoint), dependencies=dependencies)
            stack.enter_context(mock.patch.object(quick, "_plan", plan))
        yield made


def quick_routes() -> list[Any]:
    """Every route that has a quick way."""
    return [
        route
        for resource in RESOURCES
        for route in resource.router.routes
        if isinstance(getattr(route, "app", None), Quick)
    ]
