"""Whether the process lives, and whether it should get traffic."""

from typing import Literal

from fastapi import APIRouter
from sqlalchemy import text

from duckycart.api.refusals import DRAINING, refuses
from duckycart.api.views import Answer
from duckycart.api.who import HouseOf
from duckycart.errors import Unavailable

router = APIRouter(tags=["health"])


class Health(Answer):
    status: Literal["ok"] = "ok"


class Readiness(Answer):
    status: Literal["ready"] = "ready"
    carts_connected: int


@router.get("/healthz")
async def healthz() -> Health:
    """Ask whether the process lives. 200 as long as the event loop turns."""
    return Health()


@router.get("/readyz")
@refuses(DRAINING)
async def readyz(house: HouseOf) -> Readiness:
    """Ask whether requests would succeed. 200 when the database answers and the server is not stopping, else 503."""
    if house.dispatch.draining:
        raise Unavailable("draining", "The server is stopping.", retry_after=2)
    await house.store.read(lambda connection: connection.execute(text("SELECT 1")).one())
    return Readiness(carts_connected=len(house.dispatch.links))
