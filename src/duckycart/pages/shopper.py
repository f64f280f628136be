"""The built-in shopper page is what a phone's camera opens.

Static files only. A GET never joins, for apps that preview links open them too; the page joins with a POST, on a tap.
"""

from typing import Final

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from duckycart.pages.assets import OWN_ALONE, read_page, send_page

router = APIRouter(prefix="/s", include_in_schema=False)

_PAGE: Final = read_page("shopper.html")


@router.get("/{token}")
async def page(token: str) -> HTMLResponse:
    """Send the page, whatever the token; `/s/receipt`, where pay pages lead back to, shows this phone's shopping."""
    return send_page(_PAGE, OWN_ALONE + "img-src 'self'")
