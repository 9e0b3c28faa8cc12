"""The token service with clients that nobody here wrote: requests-oauth2client and Authlib."""

import time
from collections.abc import Iterator

import pytest
import requests
from authlib.integrations.requests_client import OAuth2Session
from requests_oauth2client import (
    ClientSecretPost,
    DPoPKey,
    DPoPToken,
    InvalidClient,
    InvalidGrant,
    MissingDPoPNonce,
    OAuth2Client,
    PrivateKeyJwt,
)

from guard import GuardProcess
from holder import Holder

BODY = {
    "model": "gpt-5-mini",
    "max_completion_tokens": 50,
    "messages": [{"role": "user", "content": "hi"}],
}


def found(guard: GuardProcess) -> dict[str, str]:
    """The endpoints, as the document names them."""
    url = guard.base_url + "/.well-known/oauth-authorization-server"
    document: dict[str, str] = requests.get(url, timeout=30).json()
    names = ("token_endpoint", "revocation_endpoint", "introspection_endpoint", "jwks_uri")
    return {name: document[name] for name in names}


@pytest.fixture
def session() -> Iterator[requests.Session]:
    """Connections that are closed at the end."""
    with requests.Session() as session:
        yield session


def call(guard: GuardProcess, token: requests.auth.AuthBase) -> requests.Response:
    """A chat completion; the library signs it."""
    url = guard.base_url + "/v1/chat/completions"
    return requests.post(url, json=BODY, auth=token, timeout=30)


def test_requests_oauth2client_gets_uses_refreshes_and_revokes(
    guard: GuardProcess, session: requests.Session
) -> None:
    key_id, key = guard.key()
    client = OAuth2Client(
        **found(guard),
        auth=ClientSecretPost(key_id, key),
        dpop_bound_access_tokens=True,
        session=session,
        testing=True,
    )
    token = client.client_credentials(scope="offline_access model:gpt-*")
    assert isinstance(token, DPoPToken)
    answer = call(guard, token)
    assert answer.status_code == 200
    assert answer.json()["choices"][0]["message"]["content"]
    fresh = client.refresh_token(token)
    assert call(guard, fresh).status_code == 200
    about = client.introspect_token(fresh.access_token)
    assert about["active"] is True
    assert about["cnf"] == {"jkt": token.dpop_key.dpop_jkt}
    assert client.revoke_access_token(fresh.access_token)
    with pytest.raises(MissingDPoPNonce) as refused:
        call(guard, fresh)  # it takes every 401 of DPoP for a wish for a nonce
    assert refused.value.response.status_code == 401
    refused.value.response.close()
    assert 'error="invalid_token"' in refused.value.response.headers["www-authenticate"]
    assert client.introspect_token(fresh.access_token) == {"active": False}
    with pytest.raises(InvalidGrant):
        client.refresh_token(token)  # used: from now on the family is dead
    with pytest.raises(InvalidGrant):
        client.refresh_token(fresh)


def test_requests_oauth2client_signs_for_a_bound_key(
    guard: GuardProcess, session: requests.Session
) -> None:
    """Its assertions are made for the token endpoint unless told otherwise; only the issuer counts
    here (audience injection)."""
    holder = Holder()
    key_id, _ = guard.key("--bind", "dpop", "--thumbprint", holder.thumbprint)
    jwk = {**holder.jwk, "d": holder.d, "alg": "ES256", "kid": holder.thumbprint}
    signs = DPoPKey(private_key=jwk, alg="ES256")
    for audience in (guard.base_url, None):
        client = OAuth2Client(
            **found(guard),
            auth=PrivateKeyJwt(key_id, jwk, aud=audience),
            session=session,
            testing=True,
        )
        if audience is None:
            with pytest.raises(InvalidClient):
                client.client_credentials(dpop=True, dpop_key=signs)
        else:
            token = client.client_credentials(dpop=True, dpop_key=signs)
            assert call(guard, token).status_code == 200


def test_authlib_gets_a_token_once_it_is_given_a_proof(guard: GuardProcess) -> None:
    """Authlib has no DPoP of its own: the proof is put into the request beside it."""
    holder = Holder()
    key_id, key = guard.key()
    endpoint = guard.base_url + "/oauth/token"
    nonce = requests.post(endpoint, data={"grant_type": "x"}, timeout=30).headers["dpop-nonce"]

    def signed() -> dict[str, str]:
        claims = {"jti": str(time.time_ns()), "htm": "POST", "htu": endpoint}
        return {"dpop": holder.proof({**claims, "iat": int(time.time()), "nonce": nonce})}

    for method in ("client_secret_basic", "client_secret_post"):
        with OAuth2Session(key_id, key, token_endpoint_auth_method=method) as session:
            token = session.fetch_token(
                endpoint, grant_type="client_credentials", scope="offline_access", headers=signed()
            )
            assert token["token_type"] == "DPoP"
            fresh = session.refresh_token(endpoint, token["refresh_token"], headers=signed())
            assert fresh["refresh_token"] != token["refresh_token"]
            about = session.introspect_token(
                guard.base_url + "/oauth/introspect", fresh["access_token"]
            )
            assert about.json()["active"] is True
            session.revoke_token(guard.base_url + "/oauth/revoke", fresh["refresh_token"])
            about = session.introspect_token(
                guard.base_url + "/oauth/introspect", fresh["access_token"]
            )
            assert about.json() == {"active": False}
