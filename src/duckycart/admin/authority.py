"""A shop's own authority signs the certificate of its server, for a network where no public authority does.

X.509 as RFC 5280 has it. The authority may sign for private addresses, local names and the names it was made with, and
for nothing else (name constraints, section 4.2.1.10): who steals its key cannot pose as a bank to the shop's tablets.
"""

import datetime
import os
import re
import socket
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from duckycart.admin.refusals import BAD_NAME_OF_SERVER, NAME_NOT_PERMITTED, NO_AUTHORITY, NOT_AN_AUTHORITY
from duckycart.admin.shell import quoted
from duckycart.own_address import own_address
from duckycart.store.file import PRIVATE

AUTHORITY: Final = "ca.pem"
AUTHORITY_KEY: Final = "ca.key"
CHAIN: Final = "chain.pem"
CHAIN_KEY: Final = "key.pem"

AUTHORITY_DAYS: Final = 3650
DAYS: Final = 820  # Apple's devices refuse 826 and more, whoever signed
_SERVER: Final = "DuckyCart server"  # no host name: OpenSSL would hold one to the constraints as if it were a DNS name
_AGO: Final = datetime.timedelta(days=1)  # a tablet whose clock is slow
_PRIVATE_NETWORKS: Final = (
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10", "127.0.0.0/8",
    "fc00::/7", "fe80::/10", "::1/128",
)  # fmt: skip
_LOCAL_NAMES: Final = ("local", "lan", "internal", "home.arpa", "localhost")
_NAME: Final = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9-]{1,63}(?<!-))*")

Address = IPv4Address | IPv6Address
Key = ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class Made:
    """What one run left in the folder."""

    names: list[str]
    until: datetime.datetime
    authority_until: datetime.datetime
    fingerprint: str  # of the authority's certificate, SHA-256, in pairs of digits as devices show it
    new_authority: bool


def _names_here() -> list[str]:
    """Return the names and addresses by which others find this machine."""
    host = socket.gethostname().lower().partition(".")[0]
    named = [host, f"{host}.local"] if _NAME.fullmatch(host) and host != "localhost" else []
    address = own_address()
    return [*([address] if address else []), *named, "localhost", "127.0.0.1"]


def make(folder: Path, names: Sequence[str], now: datetime.datetime, *, new_authority: bool) -> Made:
    """Put a certificate for `names` into the folder, signed by the authority that is there, or by a new one.

    Without names it is for those of the certificate that is there, else for `_names_here`. Files are replaced one by
    one, each at once, the certificate last: whoever reads a new certificate reads its key too. Raises BadRequest for
    what is no name and for a name that the authority may not sign for; Unavailable for one that cannot be used.
    """
    wanted = [_host(name) for name in names] or _names_of(folder / CHAIN) or [_host(name) for name in _names_here()]
    wanted = list(dict.fromkeys(wanted))
    folder.mkdir(parents=True, exist_ok=True)
    fresh = new_authority or not (folder / AUTHORITY).exists()
    authority, signer = _authority_for(wanted, now) if fresh else _read(folder)
    _permit(authority, wanted, folder)
    if fresh:
        _write(folder / AUTHORITY_KEY, _pem(signer), PRIVATE)
        _write(folder / AUTHORITY, authority.public_bytes(serialization.Encoding.PEM), 0o644)
    key = ec.generate_private_key(ec.SECP256R1())
    until = min(now + datetime.timedelta(days=DAYS), authority.not_valid_after_utc)
    certificate = (
        _begin(_called(_SERVER), key, now, until)
        .issuer_name(authority.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in wanted]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )
    _write(folder / CHAIN_KEY, _pem(key), PRIVATE)
    chain = b"".join(one.public_bytes(serialization.Encoding.PEM) for one in (certificate, authority))
    _write(folder / CHAIN, chain, 0o644)
    return Made(
        [str(name) for name in wanted],
        until,
        authority.not_valid_after_utc,
        fingerprint(authority),
        new_authority=fresh,
    )


def read_authority(folder: Path) -> x509.Certificate:
    """Return the authority's certificate. Raises NotFound, Unavailable."""
    file = folder / AUTHORITY
    try:
        return x509.load_pem_x509_certificate(file.read_bytes())
    except FileNotFoundError:
        raise NO_AUTHORITY(folder=folder) from None
    except ValueError:
        raise NOT_AN_AUTHORITY(file=file, reason="it holds no certificate") from None


def fingerprint(certificate: x509.Certificate) -> str:
    """Return the SHA-256 of a certificate in the way that devices show it: `AB:CD:…`."""
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def _authority_for(names: Iterable[str | Address], now: datetime.datetime) -> tuple[x509.Certificate, Key]:
    key = ec.generate_private_key(ec.SECP256R1())
    own = [name for name in names if isinstance(name, str)]
    addresses = [str(name) for name in names if not isinstance(name, str)]
    permitted: list[x509.GeneralName] = [x509.DNSName(name) for name in dict.fromkeys((*_LOCAL_NAMES, *own))]
    permitted += [x509.IPAddress(ip_network(network)) for network in (*_PRIVATE_NETWORKS, *addresses)]
    subject = _called(f"DuckyCart, this shop's authority, {now:%Y-%m-%d}")
    certificate = (
        _begin(subject, key, now, now + datetime.timedelta(days=AUTHORITY_DAYS))
        .issuer_name(subject)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.NameConstraints(permitted, None), critical=True)
        .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate, key


def _read(folder: Path) -> tuple[x509.Certificate, Key]:
    certificate, file = read_authority(folder), folder / AUTHORITY_KEY
    try:
        key = serialization.load_pem_private_key(file.read_bytes(), None)
    except (ValueError, TypeError):
        raise NOT_AN_AUTHORITY(file=file, reason="it holds no key") from None
    except FileNotFoundError:
        raise NOT_AN_AUTHORITY(file=file, reason="it is not there") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise NOT_AN_AUTHORITY(file=file, reason=f"it is not the key of {AUTHORITY}")
    return certificate, key


def _permit(authority: x509.Certificate, names: Iterable[str | Address], folder: Path) -> None:
    """Raise BadRequest for a name that devices would not believe from this authority."""
    try:
        permitted = authority.extensions.get_extension_for_class(x509.NameConstraints).value.permitted_subtrees or ()
    except x509.ExtensionNotFound:
        return
    trees = [one.value for one in permitted if isinstance(one, x509.DNSName)]
    networks = [one.value for one in permitted if isinstance(one, x509.IPAddress)]
    for name in names:
        if isinstance(name, str):
            good = any(name == tree or name.endswith(f".{tree}") for tree in trees)
        else:
            good = any(name in network for network in networks if not isinstance(network, Address))
        if not good:
            own = [tree for tree in trees if tree not in _LOCAL_NAMES]
            raise NAME_NOT_PERMITTED(folder=folder, given=name, permitted=", ".join(own) or "no name of its own")


def _host(given: str) -> str | Address:
    with suppress(ValueError):
        return ip_address(given.strip("[]"))
    name = given.strip().lower()
    if len(name) > 253 or _NAME.fullmatch(name) is None or name.rpartition(".")[2].isdigit():
        raise BAD_NAME_OF_SERVER(given=quoted(given))
    return name


def _names_of(file: Path) -> list[str | Address]:
    try:
        certificate = x509.load_pem_x509_certificate(file.read_bytes())
        named = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (FileNotFoundError, ValueError, x509.ExtensionNotFound):
        return []
    return [_host(str(one.value)) for one in named]


def _general(name: str | Address) -> x509.GeneralName:
    return x509.DNSName(name) if isinstance(name, str) else x509.IPAddress(name)


def _called(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


def _begin(subject: x509.Name, key: Key, now: datetime.datetime, until: datetime.datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _AGO)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: Key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(file: Path, content: bytes, mode: int) -> None:
    """Replace a file at once; nobody ever reads half of it, nor a key that others could read meanwhile."""
    aside = file.with_name(f".{file.name}.new")
    aside.unlink(missing_ok=True)
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    aside.chmod(mode)  # whatever the umask says
    aside.replace(file)
