"""Which client asks for a token: with its secret, an assertion, or as a bound key's holder."""

import json
import uuid
from base64 import b64encode
from typing import Any
from urllib.parse import quote

import pytest

from holder import Holder, b64, dumped
from tokenward.keys import life
from tokenward.keys.life import Created
from tokenward.keys.records import KeyRecord
from tokenward.machine import RealDice
from unit.http.oauth.token_world import (
    ASSERTION,
    ISSUER,
    TOKEN,
    TokenWorld,
    secret_of,
)

CREDENTIALS = {"grant_type": "client_credentials"}


@pytest.fixture
def holder() -> Holder:
    return Holder()


def basic(client_id: str, secret: str) -> str:
    """RFC 6749 section 2.3.1."""
    pair = f"{quote(client_id, safe='')}:{quote(secret, safe='')}"
    return "Basic " + b64encode(pair.encode()).decode()


def assertion(
    world: TokenWorld,
    holder: Holder,
    client_id: str,
    header: dict[str, Any] | None = None,
    **more: Any,
) -> dict[str, str]:
    """`private_key_jwt`; `more` replaces claims."""
    now_s = world.clock.now_ms() // 1000
    claims = {
        "iss": client_id, "sub": client_id, "aud": ISSUER, "jti": uuid.uuid4().hex,
        "iat": now_s, "exp": now_s + 60, **more,
    }  # fmt: skip
    claims = {name: value for name, value in claims.items() if value is not None}
    head = {"alg": holder.algorithm, "typ": "JWT", **(header or {})}
    signed = f"{b64(dumped(head))}.{b64(dumped(claims))}"
    text = f"{signed}.{b64(holder.sign(signed.encode()))}"
    return {"client_assertion_type": ASSERTION, "client_assertion": text}


async def test_a_client_may_prove_itself_with_its_secret_in_two_places(
    world: TokenWorld, holder: Holder
) -> None:
    key = await world.key()
    key_id, secret = key.record.id, key.key.reveal()
    headers = {"dpop": world.proof(holder), "authorization": basic(key_id, secret)}
    assert (await world.post(TOKEN, CREDENTIALS, headers)).status == 200
    headers["dpop"] = world.proof(holder)
    twice = await world.post(TOKEN, {**CREDENTIALS, **secret_of(key)}, headers)
    assert twice.error == "invalid_request"
    headers["dpop"] = world.proof(holder)
    other = await world.post(TOKEN, {**CREDENTIALS, "client_id": "0" * 12}, headers)
    assert other.error == "invalid_client"


async def test_strangers_learn_nothing(world: TokenWorld, holder: Holder) -> None:
    key, other = await world.key(), await world.key()
    await world.change(other.record.id, lambda record: life.revoke(record, "a test"))
    wrong = life.draw_secret(key.record.id, RealDice()).reveal()
    secrets = [
        (key.record.id, wrong),
        (key.record.id, other.key.reveal()),
        (other.record.id, other.key.reveal()),
        (key.record.id, "nonsense"),
        ("0" * 12, wrong),
        ("", wrong),
    ]
    answers = []
    for client_id, secret in secrets:
        said = await world.ask(
            TOKEN, holder, **CREDENTIALS, client_id=client_id, client_secret=secret
        )
        told = said.value
        del told["request_id"]
        answers.append((said.status, said.headers["www-authenticate"], json.dumps(told)))
    for junk in ("Basic !!!", "Basic", "basic " + b64encode(b"\xff:\xff").decode()):
        headers = {"dpop": world.proof(holder), "authorization": junk}
        said = await world.post(TOKEN, CREDENTIALS, headers)
        told = said.value
        del told["request_id"]
        answers.append((said.status, said.headers["www-authenticate"], json.dumps(told)))
    assert len(set(answers)) == 1
    assert answers[0][:2] == (401, 'Basic realm="tokenward"')


async def test_a_frozen_key_is_told_so_by_its_secret_alone(
    world: TokenWorld, holder: Holder
) -> None:
    key = await world.key()
    await world.change(key.record.id, lambda record: life.freeze(record, "a test"))
    said = await world.grant(key, holder)
    assert (said.status, said.error, said.code) == (401, "invalid_client", "key:frozen")


@pytest.mark.req("K-9")
async def test_a_bound_key_gives_tokens_to_its_holder_alone(
    world: TokenWorld, holder: Holder
) -> None:
    """K-9: also at the token endpoint a copied key is of no use."""
    key = await world.key("dpop", holder.thumbprint)
    assert (await world.grant(key, holder)).status == 200
    stolen = await world.grant(key, Holder())
    assert (stolen.error, stolen.code) == ("invalid_dpop_proof", "proof:invalid")
    bare = await world.post(TOKEN, {**CREDENTIALS, **secret_of(key)})
    assert (bare.error, bare.code) == ("invalid_dpop_proof", "proof:missing")
    assert [e.facts["reason"] for e in await world.events("key:misused")] == [
        "proof:invalid", "proof:missing",
    ]  # fmt: skip
    nobody = await world.key("dpop")
    assert (await world.grant(nobody, holder)).code == "proof:missing"


async def test_a_token_of_a_holder_who_was_replaced_is_dead(
    world: TokenWorld, holder: Holder
) -> None:
    key = await world.key("dpop", holder.thumbprint)
    by_secret = (await world.grant(key, holder)).value["access_token"]
    form = {**CREDENTIALS, **assertion(world, holder, key.record.id)}
    by_assertion = (await world.ask(TOKEN, holder, **form)).value["access_token"]
    assert await world.passes(by_secret, holder)
    assert await world.passes(by_assertion, holder)
    guard = world.house.guard

    def anew(record: KeyRecord) -> KeyRecord:
        made = life.enrol_anew(record, "", RealDice(), guard.pepper, world.clock.now_ms())
        assert isinstance(made, Created)
        return made.record

    await world.change(key.record.id, anew)
    assert not await world.passes(by_secret, holder)
    assert not await world.passes(by_assertion, holder)


@pytest.mark.parametrize("algorithm", ["ES256", "Ed25519"])
async def test_a_holder_may_sign_instead_of_sending_a_secret(
    world: TokenWorld, algorithm: str
) -> None:
    holder = Holder(algorithm)
    key = await world.key("dpop", holder.thumbprint)
    form = {**CREDENTIALS, **assertion(world, holder, key.record.id)}
    said = await world.ask(TOKEN, holder, **form)
    assert said.status == 200
    assert await world.passes(said.value["access_token"], holder)
    again = await world.ask(TOKEN, holder, **form)
    assert (again.error, again.code) == ("invalid_client", "client:replayed")


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": ISSUER + TOKEN}, {"aud": [ISSUER]}, {"aud": [ISSUER, "https://evil.test"]},
        {"aud": "https://evil.test"}, {"aud": ISSUER + "/"}, {"aud": None}, {"exp": 1},
        {"exp": None}, {"exp": 99_999_999_999}, {"iat": None}, {"iat": 99_999_999_999},
        {"nbf": 99_999_999_999}, {"jti": None}, {"jti": ""}, {"jti": "x" * 129},
        {"iss": "0" * 12}, {"sub": "0" * 12}, {"iss": None, "sub": None},
    ],
)  # fmt: skip
async def test_an_assertion_is_for_this_guard_alone_and_for_now(
    world: TokenWorld, holder: Holder, claims: dict[str, Any]
) -> None:
    """Audience injection: what a client signed for another server, or for an address of ours that
    another server named, opens nothing here (draft-ietf-oauth-rfc7523bis)."""
    key = await world.key("dpop", holder.thumbprint)
    form = {**CREDENTIALS, **assertion(world, holder, key.record.id, **claims)}
    said = await world.ask(TOKEN, holder, **form)
    assert (said.status, said.error) == (401, "invalid_client")


@pytest.mark.parametrize(("after_s", "status"), [(-1, 401), (29, 401), (32, 200)])
async def test_an_assertion_that_may_have_been_used_before_the_guard_forgot_is_not_taken(
    world: TokenWorld, holder: Holder, after_s: int, status: int
) -> None:
    """It may be dated half a minute ahead: used, forgotten, and still good."""
    key = await world.key("dpop", holder.thumbprint)
    since_s = world.house.guard.prover.replays.epoch.since_ms // 1000
    form = {**CREDENTIALS, **assertion(world, holder, key.record.id, iat=since_s + after_s)}
    assert (await world.ask(TOKEN, holder, **form)).status == status


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none"}, {"alg": "HS256"}, {"alg": "Ed25519"}, {"typ": "at+jwt"},
        {"typ": "dpop+jwt"}, {"crit": ["b64"]}, {"jku": "https://evil.test/keys"},
        {"jwk": "not a key"}, {"jwk": {"kty": "oct", "k": "x"}},
    ],
)  # fmt: skip
async def test_an_assertion_has_the_algorithm_and_the_key_of_the_holder(
    world: TokenWorld, holder: Holder, header: dict[str, Any]
) -> None:
    key = await world.key("dpop", holder.thumbprint)
    form = {**CREDENTIALS, **assertion(world, holder, key.record.id, header)}
    if header.get("jwk") == "not a key":  # then the proof's own key counts, and it is right
        assert (await world.ask(TOKEN, holder, **form)).status == 200
    else:
        assert (await world.ask(TOKEN, holder, **form)).error == "invalid_client"


async def test_an_assertion_by_somebody_else_opens_nothing(
    world: TokenWorld, holder: Holder
) -> None:
    key, thief = await world.key("dpop", holder.thumbprint), Holder()
    free = await world.key()
    for by, proves, client_id, header in (
        (thief, holder, key.record.id, {}),
        (thief, thief, key.record.id, {}),
        (thief, thief, key.record.id, {"jwk": thief.jwk}),
        (thief, thief, key.record.id, {"jwk": holder.jwk}),
        (thief, thief, free.record.id, {"jwk": thief.jwk}),  # bound to nobody: nobody may sign
        (thief, thief, "0" * 12, {}),
    ):
        form = {**CREDENTIALS, **assertion(world, by, client_id, header)}
        assert (await world.ask(TOKEN, proves, **form)).error == "invalid_client"
    stolen = {**CREDENTIALS, **assertion(world, holder, key.record.id, {"jwk": holder.jwk})}
    assert (await world.ask(TOKEN, thief, **stolen)).error == "invalid_dpop_proof"
