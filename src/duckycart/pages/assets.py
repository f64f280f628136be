"""The built-in pages are small static files, sent with headers that close them to whatever is not their own."""

from hashlib import sha256
from importlib.resources import files
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from duckycart.refusals import NOT_FOUND

router = APIRouter(prefix="/s/assets", include_in_schema=False)

_TYPES: Final = {
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "shopper.css": "text/css; charset=utf-8",
    "shopper.js": "text/javascript; charset=utf-8",
    "screen.css": "text/css; charset=utf-8",
    "screen.js": "text/javascript; charset=utf-8",
    "start.css": "text/css; charset=utf-8",
    "start.js": "text/javascript; charset=utf-8",
    "reference.js": "text/javascript; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
_FILES: Final = files(__package__)
_SWAGGER_UI: Final = files("duckycart") / "vendored" / "swagger-ui"
_ASSETS: Final = {
    name: ((_SWAGGER_UI if name.startswith("swagger-ui") else _FILES) / name).read_bytes() for name in _TYPES
}
_ETAGS: Final = {name: f'"{sha256(content).hexdigest()[:32]}"' for name, content in _ASSETS.items()}

_SAFE: Final = {
    "Referrer-Policy": "no-referrer",  # a page's address may hold a QR's token
    "X-Content-Type-Options": "nosniff",
}
OWN_ALONE: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
)


def read_page(name: str) -> bytes:
    return (_FILES / name).read_bytes()


def send_page(content: bytes, policy: str) -> HTMLResponse:
    """Return a page that nobody keeps. `policy` says what it may load: OWN_ALONE, and what it needs beside that."""
    headers = {**_SAFE, "Cache-Control": "no-store", "Content-Security-Policy": policy}
    return HTMLResponse(content, headers=headers)


@router.get("/{name}")
async def asset(request: Request, name: str) -> Response:
    """Send a file that the pages need. Browsers ask again each time, and get 304 while it is unchanged."""
    if name not in _ASSETS:
        raise NOT_FOUND()
    headers = {**_SAFE, "Cache-Control": "no-cache", "ETag": _ETAGS[name]}
    known = (tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(","))
    if _ETAGS[name] in known:
        return Response(status_code=304, headers=headers)
    return Response(_ASSETS[name], media_type=_TYPES[name], headers=headers)
