"""The built-in reference shows every call, to try out. It comes from this server alone: a shop may have no internet."""

from typing import Final

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from duckycart.pages.assets import read_page, send_page

router = APIRouter(prefix="/docs", include_in_schema=False)

_PAGE: Final = read_page("reference.html")
# Swagger UI writes styles into its elements, and makes markup of the descriptions, which it cleans itself.
_RULES: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@router.get("")
async def page() -> HTMLResponse:
    """Send the page. It reads `/openapi.json` by itself."""
    return send_page(_PAGE, _RULES)
