"""A URL as a QR code, for whoever asks for a picture."""

from io import BytesIO
from typing import Any, Final

import segno
from fastapi import Request, Response

PICTURES: Final[dict[str, Any]] = {  # as OpenAPI has them
    "image/svg+xml": {"schema": {"type": "string"}},
    "image/png": {"schema": {"type": "string", "contentMediaType": "image/png"}},
}


def picture(request: Request, url: str) -> Response | None:
    """The answer, if Accept names a kind of picture that we draw; else None."""
    accept = request.headers.get("accept", "")
    for media_type in PICTURES:
        if media_type in accept:
            out = BytesIO()
            kind = media_type.removeprefix("image/").removesuffix("+xml")
            segno.make(url, error="m").save(out, kind=kind, scale=8, border=4)
            headers = {"Cache-Control": "no-store", "Vary": "Accept"}
            return Response(out.getvalue(), media_type=media_type, headers=headers)
    return None
