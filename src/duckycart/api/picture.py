"""Whoever asks for a picture gets a URL as a QR code."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, Final

from fastapi import Request, Response

from duckycart import drawn_qr

PICTURES: Final[dict[str, Any]] = {  # as OpenAPI has them
    "image/svg+xml": {"schema": {"type": "string"}},
    "image/png": {"schema": {"type": "string", "contentMediaType": "image/png"}},
}


# One thread: drawing takes 20 ms of a CPU, which the carts' commands shall not wait for (F72).
_DRAWING: Final = ThreadPoolExecutor(1, thread_name_prefix="qr")


async def picture(request: Request, url: str) -> Response | None:
    """Return the QR as the answer if Accept names a kind of picture that we draw; else None."""
    accept = request.headers.get("accept", "")
    for media_type in PICTURES:
        if media_type in accept:
            kind = media_type.removeprefix("image/").removesuffix("+xml")
            drawn = await asyncio.get_running_loop().run_in_executor(_DRAWING, _draw, url, kind)
            headers = {"Cache-Control": "no-store", "Vary": "Accept"}
            return Response(drawn, media_type=media_type, headers=headers)
    return None


@lru_cache(256)
def _draw(url: str, kind: str) -> bytes:
    """Draw a QR, once: a screen asks for the picture of its payment again with each look at the basket."""
    return drawn_qr.picture(url, kind)
