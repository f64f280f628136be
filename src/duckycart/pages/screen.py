"""The built-in screen of a cart shows its QR, the basket, the payment, a thank-you, and the next QR.

Static files only, the same for every cart; the screen's key is in the address's fragment, which no server ever sees.
"""

from typing import Final
from urllib.parse import urlsplit

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from duckycart.api.inputs import CartId
from duckycart.api.who import TheShop
from duckycart.pages.assets import OWN_ALONE, read_page, send_page

router = APIRouter(prefix="/screen", include_in_schema=False)

_PAGE: Final = read_page("screen.html")


@router.get("/{cart_id}")
async def page(shop: TheShop, cart_id: CartId) -> HTMLResponse:
    """Send the page. It draws QRs that it fetched (`blob:`), and frames the pay page, which must not lead it away."""
    url = urlsplit(shop.settings.url)
    return send_page(_PAGE, OWN_ALONE + f"img-src 'self' blob:; frame-src 'self' {url.scheme}://{url.netloc}")
