"""The connection of a command to its own guard, which is known by its certificate alone.

A guard's certificate is for the name its callers use, and a command calls 127.0.0.1. So neither
name nor authority is looked at, but the one certificate itself, before anything is sent: the guard
wrote its hash into `guard.json`, in the folder that nobody else can write.
"""

import hmac
import http.client
import ssl

from tokenward.binding.certificates import certificate_thumbprint
from tokenward.cli.guard_file import GuardAddress


def to(address: GuardAddress, wait_s: float) -> http.client.HTTPConnection:
    """Not connected yet. `connect` raises OSError, also when another certificate is shown."""
    host, port = address.host_from_here, address.port
    if not address.certificate:
        return http.client.HTTPConnection(host, port, timeout=wait_s)
    return _PinnedConnection(host, port, address.certificate, wait_s)


class _PinnedConnection(http.client.HTTPSConnection):
    def __init__(self, host: str, port: int, certificate: str, wait_s: float) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # `connect` compares the certificate itself
        super().__init__(host, port, timeout=wait_s, context=context)
        self._certificate = certificate

    def connect(self) -> None:
        super().connect()
        shown = self.sock.getpeercert(binary_form=True) or b""
        if not hmac.compare_digest(certificate_thumbprint(shown), self._certificate):
            self.close()
            raise ssl.SSLCertVerificationError("another certificate than the guard's own")
