"""https and wss on the one port, with a certificate of the shop's own."""

import json
import ssl

import httpx2
import trustme
from websockets.asyncio.client import connect

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
