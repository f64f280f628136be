"""Whether the process lives, and whether it should get traffic."""

from fastapi import APIRouter
from sqlalchemy import text

from duckycart.api.errors import PROBLEMS
from duckycart.api.who import HouseOf
from duckycart.errors import Unavailable

router = APIRouter(tags=["health"], responses=PROBLEMS)


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """200 as long as the event loop turns."""
    return {"status": "ok"}


@router.get("/readyz")
async def readyz(house: HouseOf) -> dict[str, str | int]:
    """200 when a request would succeed: the database answers and the server is not stopping. Else 503."""
    if house.dispatch.draining:
        raise Unavailable("draining", "The server is stopping.", retry_after=2)
    await house.store.read(lambda connection: connection.execute(text("SELECT 1")).one())
    return {"status": "ready", "carts_connected": len(house.dispatch.links)}
