"""Whether the process lives, and whether it should get traffic."""

from typing import Literal

from fastapi import APIRouter
from pydantic import ConfigDict, Field
from sqlalchemy import text

from duckycart.api.refusals import DRAINING, NO_PLACES, refuses
from duckycart.api.views import Answer
from duckycart.api.who import HouseOf
from duckycart.errors import Unavailable

router = APIRouter(tags=["health"])


class Health(Answer):
    status: Literal["ok"] = "ok"


class Readiness(Answer):
    model_config = ConfigDict(json_schema_serialization_defaults_required=False)  # what is None is left out

    status: Literal["ready"] = "ready"
    carts_connected: int
    short_of: Literal["connections"] | None = Field(
        None, description="there when somebody in the last minute found no place, or gave one up for another"
    )


@router.get("/healthz")
async def healthz() -> Health:
    """Ask whether the process lives. 200 as long as the event loop turns."""
    return Health()


@router.get("/readyz", response_model_exclude_none=True)
@refuses(DRAINING, NO_PLACES)
async def readyz(house: HouseOf) -> Readiness:
    """Ask whether requests would succeed. 200 when the database answers, the server is not stopping, and it has a
    place for one more connection; else 503."""
    if house.dispatch.draining:
        raise Unavailable("draining", "The server is stopping.", retry_after=2)
    places = house.places
    if places.full:
        raise Unavailable("no_places", "The server has no place for one more connection.", retry_after=5)
    await house.store.read(lambda connection: connection.execute(text("SELECT 1")).one())
    return Readiness(
        carts_connected=len(house.dispatch.links),
        short_of="connections" if places.short else None,
    )
