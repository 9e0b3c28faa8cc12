"""Every path of the token service, and what answers there."""

from collections.abc import Mapping
from functools import partial
from typing import Final

from tokenward.http.oauth import inspecting, metadata
from tokenward.http.oauth.door import Endpoint
from tokenward.http.oauth.enrolment import enrol
from tokenward.http.oauth.exchanging import TOKEN_EXCHANGE, exchange
from tokenward.http.oauth.refreshing import REFRESH_TOKEN, refresh
from tokenward.http.oauth.service import Service
from tokenward.http.oauth.token import CLIENT_CREDENTIALS, Handler, client_credentials, token

GRANTS: Final[Mapping[str, Handler]] = {
    CLIENT_CREDENTIALS: client_credentials,
    REFRESH_TOKEN: refresh,
    TOKEN_EXCHANGE: exchange,
}


def endpoints(service: Service) -> dict[str, Endpoint]:
    """By raw path."""
    return {
        "/oauth/enrolment": Endpoint("POST", partial(enrol, service.guard)),
        "/oauth/token": Endpoint("POST", partial(token, GRANTS, service)),
        "/oauth/revoke": Endpoint("POST", partial(inspecting.revoke, service)),
        "/oauth/introspect": Endpoint("POST", partial(inspecting.introspect, service)),
        "/oauth/jwks": Endpoint("GET", partial(metadata.jwks, service)),
        "/.well-known/oauth-authorization-server": Endpoint(
            "GET", partial(metadata.server, GRANTS, service)
        ),
        "/.well-known/oauth-protected-resource": Endpoint(
            "GET", partial(metadata.resource, service)
        ),
    }
