"""The built-in shopper page: what a phone's camera opens.

Static files only. A GET never joins, for apps that preview links open them too; the page joins with a POST, on a tap.
"""

from hashlib import sha256
from importlib.resources import files
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from duckycart.errors import NotFound

router = APIRouter(prefix="/s", include_in_schema=False)

_TYPES: Final = {
    "shopper.css": "text/css; charset=utf-8",
    "shopper.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
_FILES: Final = files(__package__)
_PAGE: Final = (_FILES / "shopper.html").read_bytes()
_ASSETS: Final = {name: (_FILES / name).read_bytes() for name in _TYPES}
_ETAGS: Final = {name: f'"{sha256(content).hexdigest()[:32]}"' for name, content in _ASSETS.items()}

_SAFE: Final = {
    "Referrer-Policy": "no-referrer",  # the page's address holds the QR's token
    "X-Content-Type-Options": "nosniff",
}
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
_PAGE_HEADERS: Final = {**_SAFE, "Cache-Control": "no-store", "Content-Security-Policy": _POLICY}


@router.api_route("/assets/{name}", methods=["GET", "HEAD"])
async def asset(request: Request, name: str) -> Response:
    """What the page needs; asked again each time, answered with 304 while it is the same."""
    if name not in _ASSETS:
        raise NotFound("not_found", "There is nothing at this address.")
    headers = {**_SAFE, "Cache-Control": "no-cache", "ETag": _ETAGS[name]}
    known = (tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(","))
    if _ETAGS[name] in known:
        return Response(status_code=304, headers=headers)
    return Response(_ASSETS[name], media_type=_TYPES[name], headers=headers)


@router.api_route("/{token}", methods=["GET", "HEAD"])
async def page(token: str) -> HTMLResponse:
    """The page, whatever the token; `/s/receipt`, where pay pages lead back to, shows the shopping of this phone."""
    return HTMLResponse(_PAGE, headers=_PAGE_HEADERS)
