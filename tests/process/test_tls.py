"""https and wss on the one port, with a certificate of the shop's own, which is renewed without a restart (F63)."""

import json
import os
import signal
import ssl
from pathlib import Path

import httpx2
import pytest
import trustme
from websockets.asyncio.client import connect

from duckycart.testing.waiting import until
from tests.process.world import KEY, Served


async def test_screens_and_carts_come_over_tls(served: Served) -> None:
    folder = served.database.parent
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    key, chain = folder / "key.pem", folder / "chain.pem"
    certificate.private_key_pem.write_to_path(key)
    for blob in certificate.cert_chain_pems:
        blob.write_to_path(chain, append=True)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    served.furnish()
    await served.start("--tls-cert", str(chain), "--tls-key", str(key))
    base = f"127.0.0.1:{served.port}"
    async with (
        httpx2.AsyncClient(verify=trusting, trust_env=False, headers={"X-API-Key": KEY}) as http,
        connect(f"wss://{base}/ws/hardware/1", ssl=trusting, additional_headers={"X-API-Key": KEY}, proxy=None) as cart,
    ):
        answer = await http.get(f"https://{base}/customer-session/qr/1", headers={"Prefer": "wait=5"})
        assert answer.headers["Hardware-Delivery"] == "received"
        assert f"<https://{base}/s/" in answer.headers["Link"]
        assert json.loads(await cart.recv()) == {"type": "generate_qr", "data": None}
        assert await served.stop() == 0
        await cart.wait_closed()
        assert cart.close_code == 1012


def issue(folder: Path) -> ssl.SSLContext:
    """Put a new certificate, of an authority of its own, into the files; returns what trusts it and no other."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    (folder / "chain.pem").write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    return trusting


async def shown(served: Served, trusting: ssl.SSLContext) -> bool:
    """Whether a new connection is shown a certificate that is trusted so."""
    async with httpx2.AsyncClient(verify=trusting, trust_env=False) as http:
        try:
            return (await http.get(f"https://127.0.0.1:{served.port}/healthz")).status_code == 200
        except httpx2.ConnectError as error:
            if "CERTIFICATE_VERIFY_FAILED" not in str(error):
                raise
            return False


def hang_up(served: Served) -> None:
    """As `systemctl reload` and the hooks of certificates' clients do it."""
    os.kill(served.process.pid, signal.SIGHUP)


async def said(served: Served, event: str) -> None:
    await until(lambda: event in served.log.read_text())


@pytest.mark.parametrize("plain", ["", "127.0.0.0/8"])  # with it our own server takes the connections in
async def test_f63_a_renewed_certificate_is_taken_up_and_who_is_connected_stays(served: Served, plain: str) -> None:
    folder = served.database.parent
    before = issue(folder)
    served.furnish()
    files = ["--tls-cert", str(folder / "chain.pem"), "--tls-key", str(folder / "key.pem")]
    await served.start(*files, DUCKYCART_PLAIN_CARTS=plain)
    async with connect(
        f"wss://127.0.0.1:{served.port}/ws/hardware/1", ssl=before, additional_headers={"X-API-Key": KEY}, proxy=None
    ) as cart:
        assert await shown(served, before)
        after = issue(folder)
        assert not await shown(served, after), "nobody said so yet"
        hang_up(served)
        await said(served, "certificate renewed")
        assert await shown(served, after)
        assert not await shown(served, before)

        issue(folder)
        (folder / "key.pem").write_bytes((folder / "chain.pem").read_bytes())  # no key at all
        hang_up(served)
        await said(served, "certificate not renewed")
        assert await shown(served, after), "the one before stays"

        again = issue(folder)
        hang_up(served)
        await until(lambda: served.log.read_text().count("certificate renewed") == 2)
        assert await shown(served, again)
        await (await cart.ping())
    assert "Traceback" not in served.log.read_text()


async def test_f63_a_hang_up_ends_nobody(served: Served) -> None:
    """Also where there is no certificate: a terminal that is closed says the same."""
    served.furnish()
    await served.start()
    cart = await served.cart()
    hang_up(served)
    await said(served, "no certificate")
    assert cart.closed is None
    assert await served.stop() == 0
