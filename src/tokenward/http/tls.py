"""The server's side of TLS: its own certificate, and whose clients it knows.

TLS 1.2 and 1.3 with forward secrecy, HTTP/1.1 alone. A client may show a certificate and need
not; one that it shows must be of the given authorities, or pinned among them, or the handshake
fails. Chain, validity and purpose at that moment are OpenSSL's to check.
"""

import ssl
from collections.abc import Sequence
from pathlib import Path
from stat import S_IRWXO, S_ISREG
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tokenward.binding.certificates import certificate_thumbprint
from tokenward.kernel.errors import SettingsError

# Of TLS 1.2; those of TLS 1.3 are all sound.
_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
FILE_BYTES_MAX: Final = 4 * 1024 * 1024


def server_context(certificate: Path, key: Path, client_ca: Sequence[Path]) -> ssl.SSLContext:
    """What connections are wrapped with. Raises SettingsError for a file that will not do."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    own_certificate(certificate)
    _check_key(key)
    try:
        context.load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        raise SettingsError(_why_no_pair(certificate, key, error)) from None
    for path in client_ca:
        _load_clients(context, path)
    if client_ca:
        context.verify_mode = ssl.CERT_OPTIONAL
        # A certificate that is in the list itself is trusted, whoever signed it.
        context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    return context


def own_certificate(path: Path) -> x509.Certificate:
    """The guard's certificate: the first in its file. Raises SettingsError."""
    return _certificates(path, "server.tls_certificate")[0]


def own_thumbprint(path: Path) -> str:
    """`x5t#S256` of the guard's certificate. Raises SettingsError."""
    return certificate_thumbprint(own_certificate(path).public_bytes(Encoding.DER))


def _load_clients(context: ssl.SSLContext, path: Path) -> None:
    _certificates(path, "server.tls_client_ca")
    try:
        context.load_verify_locations(path)
    except ssl.SSLError as error:
        raise SettingsError(
            f"server.tls_client_ca: {path} cannot be used: {error.reason}"
        ) from None


def _certificates(path: Path, what: str) -> list[x509.Certificate]:
    text = _read(path, what)
    try:
        return x509.load_pem_x509_certificates(text)
    except ValueError:
        raise SettingsError(
            f"{what}: {path} holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)"
        ) from None


def _check_key(path: Path) -> None:
    text = _read(path, "server.tls_key")
    if path.stat().st_mode & S_IRWXO:
        raise SettingsError(
            f"server.tls_key: everybody on this machine can read or change {path}. "
            f"Close it first: chmod 600 {path}"
        )
    if b"ENCRYPTED" in text:  # OpenSSL would ask for the password on the terminal
        raise SettingsError(
            f"server.tls_key: {path} is locked with a password; keep it without one, mode 600"
        )


def _read(path: Path, what: str) -> bytes:
    try:
        if not S_ISREG(path.stat().st_mode):
            raise SettingsError(f"{what}: {path} is not a file")
        with path.open("rb") as file:
            text = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise SettingsError(f"{what}: {path} cannot be read: {error.strerror}") from None
    if len(text) > FILE_BYTES_MAX:
        raise SettingsError(f"{what}: {path} is longer than {FILE_BYTES_MAX:,} bytes")
    return text


def _why_no_pair(certificate: Path, key: Path, error: ssl.SSLError) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"server.tls_key: {key} is not the key of the certificate in {certificate}"
    return (
        f"server.tls_certificate, server.tls_key: {certificate} and {key} cannot be used together "
        f"({error.reason or 'no private key was found'})"
    )
