"""Certificates for tests, made on the spot: an authority's, its servers', its clients', others'."""

import datetime as dt
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tokenward.binding.certificates import certificate_thumbprint

CLIENTS = ExtendedKeyUsageOID.CLIENT_AUTH
SERVERS = ExtendedKeyUsageOID.SERVER_AUTH
HOUR = dt.timedelta(hours=1)
_PEM = serialization.Encoding.PEM


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, and the two files they are in."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    pem: Path
    key_pem: Path

    @property
    def der(self) -> bytes:
        """As TLS sends it."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def thumbprint(self) -> str:
        """`x5t#S256`."""
        return certificate_thumbprint(self.der)

    @property
    def escaped(self) -> str:
        """As nginx writes `$ssl_client_escaped_cert`."""
        return quote(self.certificate.public_bytes(_PEM), safe="")

    @property
    def files(self) -> tuple[str, str]:
        """As most clients take them."""
        return str(self.pem), str(self.key_pem)


def make(
    folder: Path,
    name: str,
    signer: Pair | None = None,
    *,
    is_ca: bool = False,
    usage: x509.ObjectIdentifier | None = CLIENTS,
    begins: dt.timedelta = -HOUR,
    ends: dt.timedelta = 24 * HOUR,
    names: Sequence[str] = ("localhost", "127.0.0.1"),
) -> Pair:
    """A certificate for `names`, by `signer` or signed by itself; it counts from `begins` to
    `ends`, from now. `usage` None: without the extension."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    alternatives = [
        x509.IPAddress(ipaddress.ip_address(each)) if each[0].isdigit() else x509.DNSName(each)
        for each in names
    ]
    signing_key = signer.key if signer else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer.certificate.subject if signer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key()),
            critical=False,
        )
    )
    if usage is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    made = builder.sign(signing_key, hashes.SHA256())
    pem, key_pem = folder / f"{name}.pem", folder / f"{name}-key.pem"
    pem.write_bytes(made.public_bytes(_PEM))
    key_pem.touch(0o600)
    key_pem.write_bytes(
        key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return Pair(made, key, pem, key_pem)


def authority(folder: Path, name: str = "authority") -> Pair:
    """One that signs others."""
    return make(folder, name, is_ca=True, usage=None)
