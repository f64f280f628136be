"""A shop's own authority: devices believe what it may sign and nothing else, and its key stays private."""

import datetime
import json
import signal
import socket
import ssl
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from duckycart.admin import authority
from tests.admin.conftest import Shell

NOW = datetime.datetime.now(datetime.UTC)


def believed(folder: Path, name: str) -> bool:
    """Whether a device that trusts the authority, and nothing else, opens a connection to the server by that name."""
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(folder / "chain.pem", folder / "key.pem")
    trusting = ssl.create_default_context(cafile=folder / "ca.pem")
    trusting.verify_flags |= ssl.VERIFY_X509_STRICT
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = serving.wrap_bio(to_server, to_client, server_side=True)
    client = trusting.wrap_bio(to_client, to_server, server_hostname=name)
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError:
                return False
    return client.version() is not None


def test_devices_that_trust_the_authority_believe_the_server(shell: Shell) -> None:
    made = shell.json("tls", "make", "shop.lan", "192.168.7.2", "fd00::2", "pos.example.com")
    folder = shell.folder / "tls"
    assert made["names"] == ["shop.lan", "192.168.7.2", "fd00::2", "pos.example.com"]
    assert made["new_authority"]
    for name in made["names"]:
        assert believed(folder, name), name
    for other in ("other.lan", "192.168.7.3", "example.com"):
        assert not believed(folder, other), other
    assert made["certificate"] == str(folder / "chain.pem")
    assert made["key"] == str(folder / "key.pem")


def test_without_names_it_is_for_this_machine(shell: Shell) -> None:
    made = shell.json("tls", "make")
    assert {"localhost", "127.0.0.1"} <= set(made["names"])
    assert believed(shell.folder / "tls", "localhost")


def test_keys_are_for_their_owner_alone(shell: Shell) -> None:
    shell.run("tls", "make", "shop.lan")
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in (shell.folder / "tls").iterdir()}
    assert modes == {"ca.pem": 0o644, "ca.key": 0o600, "chain.pem": 0o644, "key.pem": 0o600}


def test_a_second_time_renews_and_devices_need_nothing_new(shell: Shell) -> None:
    folder = shell.folder / "tls"
    first = shell.json("tls", "make", "shop.lan")
    before, trusted = (folder / "chain.pem").read_bytes(), (folder / "ca.pem").read_bytes()
    again = shell.json("tls", "make")
    assert (again["names"], again["new_authority"]) == (["shop.lan"], False)
    assert again["fingerprint"] == first["fingerprint"]
    assert (folder / "chain.pem").read_bytes() != before
    assert (folder / "ca.pem").read_bytes() == trusted
    assert believed(folder, "shop.lan")
    other = shell.json("tls", "make", "10.0.0.7")
    assert other["names"] == ["10.0.0.7"]
    assert believed(folder, "10.0.0.7")


def test_the_times_are_those_that_devices_accept(shell: Shell) -> None:
    made = shell.json("tls", "make", "shop.lan")
    days = datetime.datetime.fromisoformat(made["not_after"]) - NOW
    assert 800 < days.days < 825
    late = NOW + datetime.timedelta(days=authority.AUTHORITY_DAYS - 100)
    renewed = authority.make(shell.folder / "tls", (), late, new_authority=False)
    assert renewed.until == renewed.authority_until, "no certificate outlives the authority"


def test_the_authority_signs_for_its_own_names_only(shell: Shell) -> None:
    shell.run("tls", "make", "shop.lan", "pos.example.com")
    folder = shell.folder / "tls"
    kept = {file.name: file.read_bytes() for file in folder.iterdir()}
    error = shell.json_error("tls", "make", "bank.example.org")
    assert error["error"] == "name_not_permitted"
    assert "pos.example.com" in error["detail"]
    assert "--new-authority" in error["detail"]
    assert shell.json_error("tls", "make", "8.8.8.8")["error"] == "name_not_permitted"
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == kept, "and nothing was changed"
    made = shell.json("tls", "make", "bank.example.org", "--new-authority")
    assert made["new_authority"]
    assert believed(folder, "bank.example.org")


def test_what_a_thief_signs_with_the_authoritys_key_is_not_believed(shell: Shell) -> None:
    shell.run("tls", "make", "shop.lan")
    folder = shell.folder / "tls"
    signer = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    own = x509.load_pem_x509_certificates((folder / "chain.pem").read_bytes())
    key = ec.generate_private_key(ec.SECP256R1())
    forged = x509.CertificateBuilder(
        issuer_name=own[1].subject,
        subject_name=own[0].subject,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=own[0].not_valid_before_utc,
        not_valid_after=own[0].not_valid_after_utc,
    )
    for extension in own[0].extensions:
        value: x509.ExtensionType = extension.value
        if isinstance(value, x509.SubjectAlternativeName):
            value = x509.SubjectAlternativeName([x509.DNSName("shop.lan"), x509.DNSName("bank.example.org")])
        elif isinstance(value, x509.SubjectKeyIdentifier):
            value = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        forged = forged.add_extension(value, extension.critical)
    signed = forged.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    (folder / "chain.pem").write_bytes(signed + own[1].public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    assert not believed(folder, "bank.example.org")


@pytest.mark.parametrize("name", ["", "shop lan", "*.lan", "http://shop.lan", "-x.lan", "1.2.3", "x" * 64, "بيع.lan"])
def test_what_is_no_name_is_refused(shell: Shell, name: str) -> None:
    assert shell.json_error("tls", "make", "--", name)["error"] == "bad_server_name"
    assert not (shell.folder / "tls").exists()


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("ca.pem", b"nothing", "ca.pem cannot be used: it holds no certificate"),
        ("ca.key", b"nothing", "ca.key cannot be used: it holds no key"),
        ("ca.key", None, "ca.key cannot be used: it is not there"),
    ],
)
def test_an_authority_that_is_broken_is_said(shell: Shell, file: str, content: bytes | None, said: str) -> None:
    shell.run("tls", "make", "shop.lan")
    path = shell.folder / "tls" / file
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    before = (shell.folder / "tls" / "chain.pem").read_bytes()
    assert said in shell.fails("tls", "make")
    assert (shell.folder / "tls" / "chain.pem").read_bytes() == before


def test_the_key_of_another_authority_is_told_apart(shell: Shell) -> None:
    shell.run("tls", "make", "shop.lan")
    shell.run("tls", "make", "shop.lan", "--folder", "other")
    (shell.folder / "other" / "ca.key").replace(shell.folder / "tls" / "ca.key")
    assert "it is not the key of ca.pem" in shell.fails("tls", "make")


def test_sharing_wants_an_authority_and_a_port(shell: Shell) -> None:
    assert shell.json_error("tls", "share")["error"] == "no_authority"
    shell.run("tls", "make", "shop.lan")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = shell.fails("tls", "share", "--host", "127.0.0.1", "--port", str(taken.getsockname()[1]))
    assert "Address already in use" in said


def test_sharing_ends_by_itself(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr("duckycart.admin.tls.sleep", waited.append)
    shell.run("tls", "make", "shop.lan")
    url = shell.json("tls", "share", "--host", "127.0.0.1", "--port", "0", "--minutes", "3")["url"]
    assert waited == [180]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(url.rstrip("/").rpartition(":")[2])))


def test_tablets_and_carts_are_handed_the_authority_and_nothing_else(shell: Shell) -> None:
    made = shell.json("tls", "make", "shop.lan")
    command = [sys.executable, "-m", "duckycart", "tls", "share", "--json", "--host", "127.0.0.1", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=shell.folder) as process:
        try:
            assert process.stdout is not None
            said = json.loads(process.stdout.readline())
            assert said["fingerprint"] == made["fingerprint"]
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(f"{said['url']}ca.pem", timeout=30) as answer:
                assert answer.read() == (shell.folder / "tls" / "ca.pem").read_bytes()
            with opener.open(f"{said['url']}ca.crt", timeout=30) as answer:
                assert answer.headers["Content-Type"] == "application/x-x509-ca-cert"
                assert authority.fingerprint(x509.load_der_x509_certificate(answer.read())) == made["fingerprint"]
            with opener.open(said["url"], timeout=30) as answer:
                assert made["fingerprint"] in answer.read().decode()
            for path in ("ca.key", "key.pem", "../tls/ca.key", "%2e%2e/tls/ca.key"):
                with pytest.raises(urllib.error.HTTPError, match="404"):
                    opener.open(said["url"] + path, timeout=30)
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
        finally:
            process.kill()
