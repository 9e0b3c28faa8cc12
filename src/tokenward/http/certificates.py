"""Which certificate did the caller show? Its own connection's, or the one its proxy passes on.

A connection that comes from a trusted proxy is the proxy's: its certificate says nothing of the
caller. Only the one configured header does, only from there, and only if it stands there once.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from tokenward.binding.certificates import Certificate, check_certificate, read_certificate
from tokenward.limits.networks import TrustedProxies

CLIENT_CERTIFICATE: Final = "tokenward.client_certificate"
"""The ASGI extension under which the DER of the connection's client certificate stands."""
HEADER_BYTES_MAX: Final = 32 * 1024

_BYTES: Final = re.compile(rb":([A-Za-z0-9+/]+={0,2}):")
_PEM: Final = re.compile(
    rb"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----\s*"
)
_PAIR: Final = re.compile(rb'([A-Za-z]+)=(?:"((?:[^"\\]|\\.)*)"|([^",;]*))(?:;|$)')


@dataclass(frozen=True, slots=True)
class CertificateSource:
    """Whose word about the caller's certificate counts, and in which header (lower case; b"" for
    none). The header's name says how the certificate is written in it."""

    trusted: TrustedProxies = field(default_factory=TrustedProxies)
    header: bytes = b""

    def certificate_of(self, scope: MutableMapping[str, Any]) -> Certificate | None:
        """The caller's certificate; None if it showed none, or nobody can tell which."""
        peer = (scope.get("client") or ("",))[0]
        if self.trusted.networks and self.trusted.includes(peer):
            der = self._passed_on(scope["headers"])
        else:
            der = scope.get("extensions", {}).get(CLIENT_CERTIFICATE)
        return read_certificate(der) if der else None

    def _passed_on(self, header_list: Iterable[tuple[bytes, bytes]]) -> bytes | None:
        values = [value for name, value in header_list if name == self.header]
        if len(values) != 1 or len(values[0]) > HEADER_BYTES_MAX:
            return None  # of two, one could be the caller's own word
        return _FORMS.get(self.header, _from_escaped_pem)(values[0])


def caller_thumbprint(
    scope: MutableMapping[str, Any], source: CertificateSource, now_ms: int
) -> str:
    """`x5t#S256` of the caller's certificate if it has one that counts now, else ""."""
    shown = source.certificate_of(scope)
    return shown.thumbprint if shown and check_certificate(shown, now_ms) is None else ""


def _from_bytes(value: bytes) -> bytes | None:
    """`Client-Cert` (RFC 9440 section 2.2): a byte sequence (RFC 8941 section 3.3.5)."""
    match = _BYTES.fullmatch(value)
    return _decoded(match[1]) if match else None


def _from_escaped_pem(value: bytes) -> bytes | None:
    """One certificate as PEM, escaped like a URL: nginx's `$ssl_client_escaped_cert`, which AWS's
    load balancers write too."""
    match = _PEM.fullmatch(unquote_to_bytes(value))
    return _decoded(b"".join(match[1].split())) if match else None


def _from_envoy(value: bytes) -> bytes | None:
    """Envoy's `x-forwarded-client-cert`, of one hop, with `Hash` and `Cert`.

    Names inside the certificate are written beside them, some without quotes. A name that is made
    to look like another `Cert` does not fit the `Hash`, or stands there twice.
    """
    said: dict[bytes, bytes] = {}
    at = 0
    while at < len(value):
        match = _PAIR.match(value, at)
        if match is None:
            return None  # also a comma: another hop's word before this one
        name = match[1].lower()
        if name in said and name in (b"hash", b"cert"):
            return None
        said[name] = match[2] if match[3] is None else match[3]
        at = match.end()
    der = _from_escaped_pem(said.get(b"cert", b""))
    if der is None:
        return None
    digest = hashlib.sha256(der).hexdigest().encode("ascii")
    return der if hmac.compare_digest(said.get(b"hash", b"").lower(), digest) else None


def _decoded(text: bytes) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return None


_FORMS: Final[dict[bytes, Callable[[bytes], bytes | None]]] = {
    b"client-cert": _from_bytes,
    b"x-forwarded-client-cert": _from_envoy,
}
"""Any other name holds an escaped PEM."""
