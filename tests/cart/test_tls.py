"""TLS with the store's own certificate authority, for the socket and for the QR alike."""

import ssl
from pathlib import Path

import pytest
import trustme
from websockets.http11 import Response

from tests.cart.world import cart, qr_response, qr_token, server


async def test_the_cart_trusts_what_ssl_cert_file_names_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)

    async with server(tls) as shop:
        async with cart(shop.url) as it:
            await it.driver.until("connection", False)
            assert "its certificate is not believed" in it.driver.told[-1][2]

        async def qr() -> Response:
            return qr_response(qr_token())

        shop.qr = qr
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        async with cart(shop.url, ask_for_qr=True) as it:
            await it.driver.until("show_qr")
