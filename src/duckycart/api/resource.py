"""The router of a resource: what the calls of carts, screens and phones have in common."""

from enum import Enum

from fastapi import APIRouter
from fastapi.routing import APIRoute

from duckycart.api.bodies import BodyRoute


def operation_id(route: APIRoute) -> str:
    """An operation is called in OpenAPI what it is called here, file and function: `payments_create`."""
    return f"{route.endpoint.__module__.rpartition('.')[2]}_{route.name}"


def resource_router(*, tags: list[str | Enum], prefix: str = "") -> APIRouter:
    """A router whose routes read their bodies as what they are (bodies.py). `app.py` takes routes, not routers, out of
    it, so the application's own defaults reach none of them."""
    return APIRouter(prefix=prefix, tags=tags, route_class=BodyRoute, generate_unique_id_function=operation_id)
