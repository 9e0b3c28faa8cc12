"""The token endpoint: who may have a token, for whom it is, and what it is then good for."""

from pathlib import Path
from typing import Any

import pytest
from joserfc import jwk as oracle_jwk
from joserfc import jwt as oracle_jwt

from holder import Holder, b64, dumped
from tokenward.cli.main import run as run_command
from tokenward.kernel.errors import SettingsError
from unit.http.oauth.token_world import (
    ACCESS_TOKEN,
    EXCHANGE,
    ISSUER,
    TOKEN,
    TokenWorld,
    secret_of,
)

CREDENTIALS = {"grant_type": "client_credentials"}


@pytest.fixture
def holder() -> Holder:
    return Holder()


async def test_a_token_is_what_rfc_9068_says_read_by_a_library(
    world: TokenWorld, holder: Holder
) -> None:
    key = await world.key()
    said = await world.grant(key, holder, scope="model:gpt-*")
    assert said.value["token_type"] == "DPoP"
    assert said.value["expires_in"] == 300
    jwks = (await world.get("/oauth/jwks")).value
    keys = oracle_jwk.KeySet.import_key_set(jwks)
    token = oracle_jwt.decode(said.value["access_token"], keys, algorithms=["ES256"])
    assert (token.header["typ"], token.header["kid"]) == ("at+jwt", jwks["keys"][0]["kid"])
    assert jwks["keys"][0]["kid"] == oracle_jwk.ECKey.import_key(jwks["keys"][0]).thumbprint()
    claims = token.claims
    assert claims["iss"] == claims["aud"] == ISSUER
    assert claims["sub"] == claims["client_id"] == key.record.id
    assert claims["cnf"] == {"jkt": holder.thumbprint}
    assert claims["exp"] - claims["iat"] == 300
    assert claims["scope"] == "model:gpt-*"
    assert claims["jti"]


async def test_a_token_is_good_for_its_holder_its_models_and_its_time(
    world: TokenWorld, holder: Holder
) -> None:
    key = await world.key(models=("gpt-5*",))
    token = (await world.grant(key, holder, scope="model:gpt-*-mini")).value["access_token"]
    assert await world.passes(token, holder, "gpt-5-mini")
    assert (await world.call(token, holder, "gpt-5")).code == "model:not_allowed"
    assert (await world.call(token, holder, "gpt-4-mini")).code == "model:not_allowed"
    stolen = await world.call(token, Holder())
    assert (stolen.status, stolen.code) == (401, "proof:invalid")
    for scheme in ("Bearer", "DPoP"):
        bare = await world.call(token, None, scheme=scheme)
        assert bare.status == 401
        assert bare.headers["www-authenticate"].startswith('DPoP error="invalid_token"')
    assert (await world.call(token, holder, scheme="Bearer")).code == "proof:missing"
    assert {e.facts["reason"] for e in await world.events("key:misused")} == {
        "proof:invalid", "proof:missing",
    }  # fmt: skip
    world.clock.ahead_ms += 301_000
    late = await world.call(token, holder)
    assert (late.status, late.code) == (401, "key:invalid")
    assert late.headers["www-authenticate"].startswith('DPoP error="invalid_token"')


async def test_every_way_to_spoil_a_token_meets_the_same_answer(
    world: TokenWorld, holder: Holder
) -> None:
    token = (await world.grant(await world.key(), holder)).value["access_token"]
    head, claims, signature = token.split(".")
    none = b64(dumped({"typ": "at+jwt", "alg": "none"}))
    as_proof = b64(dumped({"typ": "dpop+jwt", "alg": "ES256", "jwk": holder.jwk}))
    spoiled = [
        f"{none}.{claims}.",
        f"{none}.{claims}.{signature}",
        f"{head}.{b64(dumped({'sub': 'x'}))}.{signature}",
        f"{head}.{claims}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}",
        f"{as_proof}.{claims}.{b64(holder.sign(f'{as_proof}.{claims}'.encode()))}",
        "a.b.c", "..", "é.é.é", f"{token}.", "x" * 9000 + ".y.z",
    ]  # fmt: skip
    answers = {(s.status, s.code) for s in [await world.call(t, holder) for t in spoiled]}
    assert answers == {(401, "key:invalid")}
    assert await world.passes(token, holder)


async def test_the_nonce_is_asked_for_and_handed_out(world: TokenWorld, holder: Holder) -> None:
    key = await world.key()
    form = {**CREDENTIALS, **secret_of(key)}
    for nonce in (None, "old"):
        proof = world.proof(holder, nonce=nonce)
        said = await world.post(TOKEN, form, {"dpop": proof})
        assert (said.status, said.error) == (400, "use_dpop_nonce")
        assert said.headers["dpop-nonce"] == world.nonce
    said = await world.post(TOKEN, form, {"dpop": world.proof(holder)})
    assert (said.status, said.headers["dpop-nonce"]) == (200, world.nonce)
    assert said.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "claims",
    [
        {"htm": "GET"}, {"htu": ISSUER + "/oauth/revoke"}, {"htu": "https://evil.test/oauth/token"},
        {"iat": 1}, {"jti": ""}, {"iat": "now"},
    ],
)  # fmt: skip
async def test_a_wrong_proof_gets_no_token(
    world: TokenWorld, holder: Holder, claims: dict[str, Any]
) -> None:
    form = {**CREDENTIALS, **secret_of(await world.key())}
    said = await world.post(TOKEN, form, {"dpop": world.proof(holder, **claims)})
    assert (said.status, said.error) == (400, "invalid_dpop_proof")


async def test_without_a_proof_there_is_no_token(world: TokenWorld, holder: Holder) -> None:
    form = {**CREDENTIALS, **secret_of(await world.key())}
    two = [("dpop", world.proof(holder)), ("dpop", world.proof(holder))]
    for headers in ([], two):
        assert (await world.post(TOKEN, form, headers)).error == "invalid_dpop_proof"


async def test_a_proof_is_good_once_here_too(world: TokenWorld, holder: Holder) -> None:
    form = {**CREDENTIALS, **secret_of(await world.key())}
    proof = world.proof(holder)
    assert (await world.post(TOKEN, form, {"dpop": proof})).status == 200
    said = await world.post(TOKEN, form, {"dpop": proof})
    assert (said.error, said.code) == ("invalid_dpop_proof", "proof:replayed")


async def test_a_refused_form_says_which_part_of_it_is_wrong(
    world: TokenWorld, holder: Holder
) -> None:
    client = secret_of(await world.key())
    wishes = [
        ({}, "invalid_request"),
        ({"grant_type": ""}, "invalid_request"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        (
            {"grant_type": "urn:ietf:params:oauth:grant-type:device_code"},
            "unsupported_grant_type",
        ),
        ({**CREDENTIALS, "scope": "admin"}, "invalid_scope"),
        ({**CREDENTIALS, "scope": "model:"}, "invalid_scope"),
        ({**CREDENTIALS, "scope": "model:gpt  offline_access"}, "invalid_scope"),
        ({**CREDENTIALS, "scope": "model:é"}, "invalid_scope"),
        ({**CREDENTIALS, "scope": "model:" + "x" * 600}, "invalid_scope"),
        ({**CREDENTIALS, "resource": "https://evil.test"}, "invalid_target"),
        ({**CREDENTIALS, "audience": ISSUER + ".evil.test"}, "invalid_target"),
        ({"grant_type": "refresh_token"}, "invalid_request"),
        ({"grant_type": EXCHANGE}, "invalid_request"),
    ]
    for form, error in wishes:
        said = await world.ask(TOKEN, holder, **client, **form)
        assert said.error == error, form
        assert set(said.value) == {"error", "error_description", "code", "request_id"}
        assert all(" " <= sign <= "~" and sign not in '"\\' for sign in
                   said.value["error_description"])  # fmt: skip
    said = await world.ask(TOKEN, holder, **CREDENTIALS)
    assert (said.status, said.error) == (401, "invalid_client")
    said = await world.ask(TOKEN, holder, **client, **CREDENTIALS, resource=ISSUER, more="ignored")
    assert said.status == 200


async def test_a_form_is_read_strictly(world: TokenWorld, holder: Holder) -> None:
    good = b"grant_type=client_credentials"
    for body, headers, status in (
        (good + b"&" + good, {}, 400),
        (b"\xff=\xff", {}, 400),
        (b"a=%ff", {}, 400),
        (b"a&b", {}, 400),
        (b"&".join(b"a%d=1" % n for n in range(65)), {}, 400),
        (b"a=" + b"x" * 65_536, {}, 413),
        (good, {"content-type": "application/json"}, 400),
        (good, {"content-type": "text/plain"}, 400),
    ):
        said = await world.post(TOKEN, body, {"dpop": world.proof(holder), **headers})
        assert (said.status, said.error) == (status, "invalid_request"), body[:40]
    said = await world.post(TOKEN, good, query="client_secret=x")
    assert said.error == "invalid_request"


async def test_documents_name_the_configured_address_and_never_the_host_header(
    world: TokenWorld,
) -> None:
    server = (await world.get("/.well-known/oauth-authorization-server")).value
    assert server["issuer"] == ISSUER
    assert server["token_endpoint"] == ISSUER + TOKEN
    assert "ES256" in server["dpop_signing_alg_values_supported"]
    assert server["tls_client_certificate_bound_access_tokens"] is True
    assert not any("device" in grant for grant in server["grant_types_supported"])
    resource = (await world.get("/.well-known/oauth-protected-resource")).value
    assert resource["resource"] == ISSUER
    assert resource["authorization_servers"] == [ISSUER]
    for path in (TOKEN, "/oauth/jwks"):
        wrong = await world.get(path, "PUT")
        assert (wrong.status, "allow" in wrong.headers) == (405, True)
    assert (await world.get("/oauth/nowhere")).status == 404
    assert (await world.get("/oauth/device_authorization", "POST")).status == 404


async def test_one_address_and_one_client_ask_so_often_and_no_more(
    world: TokenWorld, holder: Holder
) -> None:
    key = await world.key()
    said = [(await world.grant(key, holder)).status for _ in range(121)]
    assert said == [200] * 120 + [429]
    late = await world.grant(key, holder)
    assert (late.error, late.code) == ("temporarily_unavailable", "rate:exceeded")
    assert int(late.headers["retry-after"]) > 0
    other = await world.key()
    assert (await world.grant(other, holder)).status == 200
    junk = [(await world.post(TOKEN, b"", client="192.0.2.8")).status for _ in range(601)]
    assert junk == [400] * 600 + [429]


async def test_a_token_is_exchanged_for_a_narrower_one(world: TokenWorld, holder: Holder) -> None:
    token = (await world.grant(await world.key(), holder, scope="model:gpt-*")).value
    wish = {
        "grant_type": EXCHANGE,
        "subject_token": token["access_token"],
        "subject_token_type": ACCESS_TOKEN,
    }
    said = await world.ask(TOKEN, holder, **wish, scope="model:gpt-5-mini")
    assert said.value["issued_token_type"] == ACCESS_TOKEN
    narrow = said.value["access_token"]
    assert await world.passes(narrow, holder)
    assert not await world.passes(narrow, holder, "gpt-5")
    assert (await world.ask(TOKEN, holder, **wish, scope="model:o3")).error == "invalid_scope"
    assert (await world.ask(TOKEN, Holder(), **wish)).error == "invalid_request"
    again = await world.ask(TOKEN, holder, **{**wish, "subject_token": narrow})
    assert again.error == "invalid_request"
    actor = await world.ask(TOKEN, holder, **wish, actor_token="x")
    assert actor.error == "invalid_request"
    for junk in ("x", "a.b.c", "é"):
        said = await world.ask(TOKEN, holder, **{**wish, "subject_token": junk})
        assert said.error == "invalid_request"
    world.clock.ahead_ms += 200_000
    late = await world.ask(TOKEN, holder, **wish)
    assert late.value["expires_in"] <= 100


async def test_a_token_ends_with_its_key(world: TokenWorld, holder: Holder) -> None:
    key = await world.key(lifetime_ms=120_000)
    tokens = await world.tokens(key, holder)
    assert tokens["expires_in"] <= 120
    world.clock.ahead_ms += 121_000
    assert (await world.call(tokens["access_token"], holder)).status == 401
    assert (await world.refresh(tokens["refresh_token"], holder)).error == "invalid_grant"


async def test_a_new_master_key_signs_and_the_one_before_still_verifies(
    world: TokenWorld, holder: Holder, tmp_path: Path
) -> None:
    tokens = await world.tokens(await world.key(), holder)
    await world.close()
    data = tmp_path / "data"
    (data / "master.key").rename(data / "master.key.previous")
    with pytest.raises(SettingsError, match=r"master\.key"):
        await world.open(tmp_path)
    assert run_command(["init", str(tmp_path)]) == 0
    await world.open(tmp_path)
    assert len((await world.get("/oauth/jwks")).value["keys"]) == 2
    assert await world.passes(tokens["access_token"], holder)
    fresh = (await world.refresh(tokens["refresh_token"], holder)).value
    await world.close()
    (data / "master.key.previous").unlink()
    await world.open(tmp_path)
    assert not await world.passes(tokens["access_token"], holder)
    assert await world.passes(fresh["access_token"], holder)
