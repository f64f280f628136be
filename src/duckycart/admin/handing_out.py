"""An authority's certificate is handed to devices that cannot trust https yet, by plain HTTP, and nothing else is."""

import html
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET6
from threading import Thread
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from duckycart.admin.authority import fingerprint
from duckycart.own_address import in_url

_SECONDS: Final = 10  # that a device may take for its request
_KIND: Final = "application/x-x509-ca-cert"  # which Android and iOS offer to install
_PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>This shop's authority</title>
<body style="font: 1.1em sans-serif; max-width: 36em; margin: 2em auto; padding: 0 1em">
<main>
<h1>This shop's authority</h1>
<p><a href="/ca.crt">Install it on this device</a>, or <a href="/ca.pem" download>save the file</a> for a cart.</p>
<p>Compare before you trust it. SHA-256:<br><code style="overflow-wrap: anywhere">{fingerprint}</code></p>
</main>
</body>
</html>
"""


@contextmanager
def handing_out(certificate: x509.Certificate, host: str, port: int) -> Iterator[str]:
    """Serve /ca.crt (DER), /ca.pem and a page with both; yields its URL. Raises OSError for a port that is taken."""
    shown = {
        "/": ("text/html; charset=utf-8", _PAGE.format(fingerprint=html.escape(fingerprint(certificate))).encode()),
        "/ca.crt": (_KIND, certificate.public_bytes(Encoding.DER)),
        "/ca.pem": ("application/x-pem-file", certificate.public_bytes(Encoding.PEM)),
    }

    class Handler(BaseHTTPRequestHandler):
        timeout = _SECONDS

        def do_GET(self) -> None:
            kind, body = shown.get(self.path, ("", b""))
            if not kind:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the library's name
            """Who asks is nobody's business."""

    class Server(ThreadingHTTPServer):
        address_family = AF_INET6 if ":" in host else ThreadingHTTPServer.address_family

    with Server((host, port), Handler) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://{in_url(host)}:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()
