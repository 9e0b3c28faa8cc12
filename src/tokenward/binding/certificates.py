"""What does the caller's certificate say of itself? Whose it is, when it counts, what it is for.

TLS has shown that the caller holds its private key, and whose signature it carries; a credential
is bound to the one certificate by its hash (RFC 8705 section 3). What is left is checked at every
call, because a connection outlives the end of the certificate it was made with.
"""

import hashlib
from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from tokenward.binding import wording
from tokenward.kernel import jws
from tokenward.kernel.refusals import Refusal

DER_BYTES_MAX: Final = 16 * 1024
_UNREADABLE: Final = (
    ValueError,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


class Certificate(NamedTuple):
    """A certificate that was shown; `fault` says why it can be no caller's at any time, or ""."""

    thumbprint: str
    from_ms: int
    until_ms: int
    fault: str


def certificate_thumbprint(der: bytes) -> str:
    """`x5t#S256`: base64url of the SHA-256 of the certificate's DER (RFC 8705 section 3.1)."""
    return jws.encode(hashlib.sha256(der).digest()).decode("ascii")


@lru_cache(maxsize=512)
def read_certificate(der: bytes) -> Certificate | None:
    """None for what is no certificate, or one too large to be a caller's."""
    if len(der) > DER_BYTES_MAX:
        return None
    try:
        found = x509.load_der_x509_certificate(der)
        return Certificate(
            thumbprint=certificate_thumbprint(der),
            from_ms=_ms(found.not_valid_before_utc),
            until_ms=_ms(found.not_valid_after_utc) + 999,  # its last second is in it
            fault=_fault(found.extensions),
        )
    except _UNREADABLE:
        return None


def check_certificate(certificate: Certificate, now_ms: int) -> Refusal | None:
    """None if it is a caller's and counts now."""
    why = why_unfit(certificate, now_ms)
    return wording.bad_certificate(why) if why else None


def why_unfit(certificate: Certificate, now_ms: int) -> str:
    """What follows "the certificate …", or "" for one that is a caller's and counts now."""
    if certificate.fault:
        return certificate.fault
    if now_ms < certificate.from_ms:
        return "is not valid yet"
    return "has expired" if now_ms > certificate.until_ms else ""


def _fault(extensions: x509.Extensions) -> str:
    """Without an extension that says otherwise a certificate is good for anything (RFC 5280
    section 4.2.1.12), but one that may sign others is an authority's and no caller's."""
    for extension in extensions:
        said = extension.value
        if isinstance(said, x509.BasicConstraints) and said.ca:
            return "is that of a certificate authority, not of a caller"
        if isinstance(said, x509.ExtendedKeyUsage) and ExtendedKeyUsageOID.CLIENT_AUTH not in said:
            return "is not meant for clients (its extended key usage lacks clientAuth)"
    return ""


def _ms(moment: datetime) -> int:
    return int(moment.timestamp()) * 1000
