"""TLS as the settings say it: the guard's own, and whose word about certificates counts."""

from ssl import SSLContext

from tokenward.http.certificates import CertificateSource
from tokenward.http.tls import server_context
from tokenward.http.wire import Ja4Source
from tokenward.limits.networks import trusted_proxies
from tokenward.settings.shape import Settings


def certificate_source(settings: Settings) -> CertificateSource:
    """Whose word about callers counts, and where it stands."""
    server = settings.server
    return CertificateSource(
        trusted_proxies(server.trusted_proxies, server.client_address_header),
        server.client_certificate_header.lower().encode("ascii"),
    )


def ja4_source(settings: Settings) -> Ja4Source:
    """Whose word about the TLS of callers counts, and where it stands."""
    server = settings.server
    return Ja4Source(
        trusted_proxies(server.trusted_proxies, server.client_address_header),
        server.ja4_header.lower().encode("ascii"),
    )


def sees_certificates(settings: Settings) -> bool:
    """Whether a caller can show a certificate at all: to the guard itself or through a proxy."""
    return bool(settings.server.tls_client_ca or settings.server.client_certificate_header)


def tls_context(settings: Settings) -> SSLContext | None:
    """The server's side of TLS; None without. Raises SettingsError for files that will not do."""
    server, folder = settings.server, settings.base_dir
    if not server.tls_certificate:
        return None
    clients = [folder / path for path in server.tls_client_ca]
    return server_context(folder / server.tls_certificate, folder / server.tls_key, clients)
