"""With which certificate does the gateway show itself where no authority has given one?

One that it signed itself: browsers warn of it once, and what travels is encrypted. Whoever has a real one puts it into the same two files.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

HERE: Final = ("localhost", "kong", "127.0.0.1", "::1")
"""This machine, and the container's own name."""
VALID_DAYS: Final = 397
"""Longer ones are refused by browsers."""
CLOCKS_DIFFER: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Pair:
    """The certificate and its private key, each as PEM."""

    certificate: str
    key: str


def self_signed(hosts: Sequence[str] = (), now: datetime | None = None) -> Pair:
    """A certificate for `hosts` and this machine, valid for `VALID_DAYS`, with a new key."""
    began = (now or datetime.now(UTC)) - CLOCKS_DIFFER
    key = generate_key(SECP256R1())
    name = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, (*hosts, *HERE)[0]), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Magasin")]
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(began)
        .not_valid_after(began + timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName(list(_names(dict.fromkeys((*hosts, *HERE))))), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    )
    made = builder.sign(key, SHA256())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Pair(made.public_bytes(Encoding.PEM).decode(), private.decode())


def _names(hosts: Iterable[str]) -> Iterable[x509.GeneralName]:
    for host in hosts:
        try:
            yield x509.IPAddress(ip_address(host))
        except ValueError:
            yield x509.DNSName(host)
