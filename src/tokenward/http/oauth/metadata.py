"""What programs read first: RFC 8414, RFC 9728, RFC 7517. The issuer is configured, never Host."""

from collections.abc import Collection
from typing import Final

from tokenward.binding.wording import ALGORITHMS
from tokenward.http.oauth.service import Service
from tokenward.http.oauth.visit import Visit
from tokenward.kernel.json_text import JsonObject
from tokenward.keys.scopes import OFFLINE

AUTH_METHODS: Final = (
    "client_secret_basic",
    "client_secret_post",
    "private_key_jwt",
    "tls_client_auth",
    "self_signed_tls_client_auth",
    "none",
)


async def server(grants: Collection[str], service: Service, visit: Visit) -> JsonObject:
    """The authorization server (RFC 8414 section 2; RFC 9449 5.1, RFC 8705 3.3)."""
    issuer, methods, algorithms = service.issuer, [*AUTH_METHODS], [*ALGORITHMS]
    document: JsonObject = {
        "issuer": issuer,
        "token_endpoint": f"{issuer}/oauth/token",
        "revocation_endpoint": f"{issuer}/oauth/revoke",
        "introspection_endpoint": f"{issuer}/oauth/introspect",
        "jwks_uri": f"{issuer}/oauth/jwks",
        "grant_types_supported": [*grants],
        "response_types_supported": [],
        "scopes_supported": [OFFLINE],
        "dpop_signing_alg_values_supported": [*ALGORITHMS],
        "tls_client_certificate_bound_access_tokens": True,
    }
    for endpoint in ("token", "revocation", "introspection"):
        document[f"{endpoint}_endpoint_auth_methods_supported"] = [*methods]
        document[f"{endpoint}_endpoint_auth_signing_alg_values_supported"] = [*algorithms]
    return document


async def resource(service: Service, visit: Visit) -> JsonObject:
    """The guarded API (RFC 9728 section 2)."""
    return {
        "resource": service.issuer,
        "authorization_servers": [service.issuer],
        "jwks_uri": f"{service.issuer}/oauth/jwks",
        "scopes_supported": [OFFLINE],
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": [*ALGORITHMS],
        "tls_client_certificate_bound_access_tokens": True,
    }


async def jwks(service: Service, visit: Visit) -> JsonObject:
    """The keys that sign access tokens."""
    return service.guard.tokens.jwks()
