"""Balancers and supervisors ask here whether the process lives, and whether it should get traffic."""

from typing import Literal

from fastapi import Request
from pydantic import ConfigDict, Field

from duckycart.api.openapi import refuses
from duckycart.api.resource import resource_router
from duckycart.api.views import Answer
from duckycart.api.who import shop_of
from duckycart.refusals import DRAINING, NO_PLACES, NOT_READY

router = resource_router(tags=["health"])


class Health(Answer):
    status: Literal["ok"] = "ok"


class Readiness(Answer):
    model_config = ConfigDict(json_schema_serialization_defaults_required=False)  # what is None is left out

    status: Literal["ready"] = "ready"
    carts_connected: int = Field(examples=[20])
    short_of: Literal["connections"] | None = Field(
        None,
        examples=["connections"],
        description="there when somebody in the last minute found no place, or gave one up for another",
    )


@router.get("/healthz")
async def healthz() -> Health:
    """Ask whether the process lives. 200 as long as the event loop turns."""
    return Health()


@router.get("/readyz", response_model_exclude_none=True)
@refuses(DRAINING, NO_PLACES, *NOT_READY)
async def readyz(request: Request) -> Readiness:
    """Ask whether requests would succeed. 200 when the database can be read and written, the server is not stopping,
    and it has a place for one more connection; else 503 with what is the matter."""
    shop = shop_of(request)  # nothing else is asked of the database before it is looked at
    if shop.connector.draining:
        raise DRAINING()
    places = shop.places
    if places.full:
        raise NO_PLACES()
    await shop.readiness()
    return Readiness(
        carts_connected=len(shop.dispatch.links),
        short_of="connections" if places.short else None,
    )
