"""All resources make their router here: it gives calls what they have in common."""

from enum import Enum

from fastapi import APIRouter
from fastapi.routing import APIRoute

from duckycart.api.quick import QuickRoute


def operation_id(route: APIRoute) -> str:
    """Return the name of an operation in OpenAPI, made of its file and its function: `payments_create`."""
    return f"{route.endpoint.__module__.rpartition('.')[2]}_{route.name}"


def resource_router(*, tags: list[str | Enum], prefix: str = "") -> APIRouter:
    """Return a router whose routes read bodies as what they are (bodies.py), and answer usual requests quickly
    (quick.py). The application's own defaults reach no route: `app.py` takes routes, not routers, into its one table.
    """
    return APIRouter(prefix=prefix, tags=tags, route_class=QuickRoute, generate_unique_id_function=operation_id)
