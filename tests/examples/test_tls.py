"""Over wss:// the key goes to nobody whose certificate is not the shop's."""

import ssl
from pathlib import Path

import trustme

from tests.conftest import OpenShop
from tests.examples.world import running


def _trusting(authority: trustme.CA, command: list[str], folder: Path) -> tuple[list[str], dict[str, str]]:
    """The example, told as each of them has to be that it shall trust this authority."""
    pem, der = folder / "authority.pem", folder / "authority.der"
    authority.cert_pem.write_to_path(str(pem))
    der.write_bytes(ssl.PEM_cert_to_DER_cert(pem.read_text()))
    *program, file = command
    if file.endswith("cart_micropython.py"):
        example = folder / "cart_micropython.py"
        example.write_text(Path(file).read_text().replace("AUTHORITY = None", f"AUTHORITY = {str(der)!r}"))
        return [*program, str(example)], {}
    return command, {"SSL_CERT_FILE": str(pem), "NODE_EXTRA_CA_CERTS": str(pem)}


async def test_over_tls_it_talks_to_its_own_server_and_to_no_other(
    opening: OpenShop, command: list[str], tmp_path: Path
) -> None:
    ours, foreign = trustme.CA(), trustme.CA()
    certificate = ours.issue_cert("127.0.0.1")
    key, chain = tmp_path / "key.pem", tmp_path / "chain.pem"
    certificate.private_key_pem.write_to_path(str(key))
    certificate.cert_chain_pems[0].write_to_path(str(chain))
    async with opening(tls_cert=chain, tls_key=key) as shop:
        await shop.furnish()
        example, environment = _trusting(foreign, command, tmp_path)
        async with running(example, shop.port, shop.keys[1], scheme="wss", environment=environment) as cart:
            await cart.says_of_its_connection("not connected")
        assert (await shop.cart_row()).link_epoch == 0
        example, environment = _trusting(ours, command, tmp_path)
        async with running(example, shop.port, shop.keys[1], scheme="wss", environment=environment):
            await shop.online()
