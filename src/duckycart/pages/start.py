"""The built-in start page says what this server is, and whether it is ready, to whoever opens its bare address."""

from typing import Final

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from duckycart.pages.assets import OWN_ALONE, read_page, send_page

router = APIRouter(include_in_schema=False)

_PAGE: Final = read_page("start.html")


@router.get("/")
async def page() -> HTMLResponse:
    """Send the page. It asks `/readyz` by itself."""
    return send_page(_PAGE, OWN_ALONE + "img-src 'self'")
