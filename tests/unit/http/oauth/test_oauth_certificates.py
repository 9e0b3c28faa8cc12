"""Tokens bound to a TLS client certificate (RFC 8705), behind a proxy that passes it on."""

from base64 import b64encode
from pathlib import Path

import pytest

import certificates
from certificates import Pair
from holder import Holder
from tokenward.keys.life import Created
from unit.http.oauth.token_world import CALL, TOKEN, Said, TokenWorld, secret_of

PROXY = "10.0.0.9"
CREDENTIALS = {"grant_type": "client_credentials", "scope": "offline_access"}


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return certificates.make(tmp_path, "caller")


@pytest.fixture
def other(tmp_path: Path) -> Pair:
    return certificates.make(tmp_path, "other")


def shows(pair: Pair) -> dict[str, str]:
    """What the proxy says of the connection (RFC 9440)."""
    return {"client-cert": f":{b64encode(pair.der).decode()}:"}


async def ask(
    world: TokenWorld, path: str, pair: Pair | None, client: str = PROXY, **form: str
) -> Said:
    return await world.post(path, form, shows(pair) if pair else {}, client=client)


async def call(world: TokenWorld, token: str, pair: Pair | None) -> str:
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    body = b'{"model":"gpt-5-mini","messages":[{"role":"user","content":"hi"}]}'
    said = await world.post(CALL, body, {**headers, **(shows(pair) if pair else {})}, client=PROXY)
    return said.code


async def bound_key(world: TokenWorld, pair: Pair) -> Created:
    return await world.key("mtls", pair.thumbprint)


async def test_a_certificate_is_proof_enough_for_its_key(
    world: TokenWorld, pair: Pair, other: Pair
) -> None:
    key = await bound_key(world, pair)
    said = await ask(world, TOKEN, pair, **CREDENTIALS, client_id=key.record.id)
    assert (said.status, said.value["token_type"]) == (200, "Bearer")
    token = said.value["access_token"]
    assert await call(world, token, pair) == "provider:unavailable"
    assert await call(world, token, other) == "proof:invalid"
    assert await call(world, token, None) == "proof:missing"
    shown = await ask(world, "/oauth/introspect", pair, client_id=key.record.id, token=token)
    assert shown.value["cnf"] == {"x5t#S256": pair.thumbprint}


async def test_only_the_holders_certificate_gives_tokens(
    world: TokenWorld, pair: Pair, other: Pair
) -> None:
    key = await bound_key(world, pair)
    by_id = {**CREDENTIALS, "client_id": key.record.id}
    assert (await ask(world, TOKEN, other, **by_id)).error == "invalid_client"
    assert (await ask(world, TOKEN, pair, client="192.0.2.1", **by_id)).status == 400  # his word
    by_secret = {**CREDENTIALS, **secret_of(key)}
    assert (await ask(world, TOKEN, pair, **by_secret)).status == 200
    for stolen in (other, None):
        said = await ask(world, TOKEN, stolen, **by_secret)
        assert said.error == "invalid_dpop_proof"
    assert (await world.grant(key, Holder())).code == "proof:missing"


async def test_a_refresh_token_is_bound_to_the_same_certificate(
    world: TokenWorld, pair: Pair, other: Pair
) -> None:
    key = await bound_key(world, pair)
    said = await ask(world, TOKEN, pair, **CREDENTIALS, client_id=key.record.id)
    form = {"grant_type": "refresh_token", "refresh_token": said.value["refresh_token"]}
    assert (await world.ask(TOKEN, Holder(), **form)).code == "proof:missing"  # shows none
    said = await ask(world, TOKEN, pair, **form)
    assert said.status == 200
    form["refresh_token"] = said.value["refresh_token"]
    assert (await ask(world, TOKEN, other, **form)).error == "invalid_grant"
    assert (await ask(world, TOKEN, pair, **form)).error == "invalid_grant"
    (incident,) = await world.incidents()
    assert incident.evidence[0].reason == "refresh:other_holder"


async def test_a_key_that_is_bound_to_nobody_may_have_tokens_for_a_certificate(
    world: TokenWorld, pair: Pair
) -> None:
    key = await world.key()
    said = await ask(world, TOKEN, pair, **CREDENTIALS, **secret_of(key))
    assert await call(world, said.value["access_token"], pair) == "provider:unavailable"
    without = await ask(world, TOKEN, pair, **CREDENTIALS, client_id=key.record.id)
    assert without.error == "invalid_client"  # the certificate is nobody's


async def test_a_refresh_token_of_a_private_key_is_not_ended_by_a_bare_certificate(
    world: TokenWorld, pair: Pair
) -> None:
    """A client that forgot its proof, on a connection that shows a certificate anyway."""
    holder = Holder()
    tokens = await world.tokens(await world.key(), holder)
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    assert (await ask(world, TOKEN, pair, **form)).code == "proof:missing"
    assert (await world.refresh(tokens["refresh_token"], holder)).status == 200


async def test_a_holder_enrols_with_its_certificate(
    world: TokenWorld, pair: Pair, other: Pair
) -> None:
    key = await world.key("mtls")
    assert key.code is not None
    form = {"code": key.code.reveal()}
    assert (await world.ask("/oauth/enrolment", Holder(), **form)).error == "invalid_request"
    said = await ask(world, "/oauth/enrolment", pair, **form)
    assert said.value["thumbprint"] == pair.thumbprint
    assert said.value["key"] == key.key.reveal()
    other = await ask(world, "/oauth/enrolment", other, **form)
    assert other.error == "invalid_grant"
