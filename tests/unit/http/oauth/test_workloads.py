"""From a platform's token to a key: forged, stolen and used tokens meet a real issuer's keys."""

import asyncio
import hashlib
import hmac
import json
import logging
import time
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from issuer import (
    JWKS,
    SelfMadeIssuer,
    jwk_of,
    rsa_key,
    running_issuer,
    sign,
    text64,
    write_token,
)
from tokenward.http.oauth.issuers import ANEW_EVERY_S, Issuer
from tokenward.http.oauth.workloads import UNAVAILABLE, Workloads
from tokenward.http.upstream import HttpUpstream
from tokenward.kernel.errors import StoreError
from tokenward.kernel.refusals import Refusal
from tokenward.keys.workload import TOKEN_BYTES_MAX, Workload
from tokenward.keys.workload_rules import ALGORITHMS, Pin, Rule
from tokenward.settings.urls import check_issuer_url
from tokenward.store.sqlite.proofs import SqliteProofs

DATA = Path(__file__).parents[3] / "data" / "workload"
GITHUB_CLAIMS: dict[str, Any] = json.loads((DATA / "github_claims.json").read_text("utf-8"))
JWT = "urn:ietf:params:oauth:token-type:jwt"
US = "https://guard.example.com"
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


class Moved:
    """The machine's clocks, moved by the test; the replay store's past begins long before."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000 - 86_400_000

    def monotonic_s(self) -> float:
        return time.monotonic() + self.ahead_s


@pytest.fixture
def github() -> Iterator[SelfMadeIssuer]:
    with running_issuer() as issuer:
        yield issuer


@pytest.fixture
def spire() -> Iterator[SelfMadeIssuer]:
    with running_issuer() as issuer:
        issuer.keys = {"one": ec.generate_private_key(ec.SECP256R1())}
        yield issuer


@pytest.fixture
def clock() -> Moved:
    return Moved()


@pytest.fixture
def replays(tmp_path: Path, clock: Moved) -> Iterator[SqliteProofs]:
    store = SqliteProofs(tmp_path, clock)
    yield store
    store.close()


def rules_of(github: SelfMadeIssuer) -> tuple[Rule, ...]:
    return (
        Rule(
            name="ci",
            kind="github",
            key_id="AbCdEf012345",
            issuer=github.url,
            algorithms=ALGORITHMS["github"],
            repository_id="74",
            repository_owner_id="65",
            environment="prod",
        ),
        Rule(
            name="batch",
            kind="spiffe",
            key_id="GhIjKl678901",
            issuer="",
            algorithms=ALGORITHMS["spiffe"],
            subject="spiffe://example.org/batch/*",
        ),
    )


@pytest.fixture
async def workloads(
    github: SelfMadeIssuer, spire: SelfMadeIssuer, replays: SqliteProofs, clock: Moved
) -> AsyncIterator[Workloads]:
    upstream = HttpUpstream(head_timeout_s=20, idle_timeout_s=20)
    domain = "spiffe://example.org"
    issuers = {
        github.url: Issuer(Pin(source=github.url), upstream, clock, check_issuer_url),
        domain: Issuer(
            Pin(source=domain, jwks_uri=spire.url + JWKS), upstream, clock, check_issuer_url
        ),
    }
    made = Workloads(rules_of(github), issuers, replays, lambda: US)
    yield made
    await made.close()
    await upstream.close()


def job(github: SelfMadeIssuer, **changed: Any) -> dict[str, Any]:
    """GitHub's example, now, for us."""
    plain = {name: GITHUB_CLAIMS[name] for name in GITHUB_CLAIMS.keys() - {"nbf", "iat", "exp"}}
    return github.claims(**{**plain, "aud": US, "iss": github.url, "jti": "1", **changed})


def svid(spire: SelfMadeIssuer, **changed: Any) -> str:
    claims = {"sub": "spiffe://example.org/batch/embed", "aud": [US], "iss": None, "jti": None}
    return spire.token(algorithm="ES256", **{**claims, **changed})


async def ask(workloads: Workloads, token: str, token_type: str = JWT) -> Workload | Refusal:
    return await workloads.verify(token, token_type, time.time_ns() // 1_000_000)


async def refused(workloads: Workloads, token: str) -> str:
    answer = await ask(workloads, token)
    assert isinstance(answer, Refusal), answer
    assert answer.shown_code in ("workload:invalid", "issuer:unavailable")
    return answer.code


async def test_a_job_and_a_workload_are_known_by_two_issuers(
    workloads: Workloads, github: SelfMadeIssuer, spire: SelfMadeIssuer
) -> None:
    found = await ask(workloads, github.token(**job(github)))
    assert isinstance(found, Workload)
    assert (found.rule, found.key_id) == ("ci", "AbCdEf012345")
    found = await ask(workloads, svid(spire))
    assert isinstance(found, Workload)
    assert (found.rule, found.who) == ("batch", "spiffe://example.org/batch/embed")


async def test_all_refusals_look_alike_to_who_asks(
    workloads: Workloads, github: SelfMadeIssuer
) -> None:
    good = job(github)
    tokens = [
        "",
        "not.a.token",
        github.token(**{**good, "repository_id": "75"}),
        github.token(**{**good, "environment": "dev"}),
        github.token(**{**good, "aud": "https://other.example"}),
        github.token(**{**good, "exp": 1}),
        github.token(**{**good, "iss": "https://unknown.example"}),
        github.token(**good)[:-6] + "AAAAAA",
    ]
    shown = set()
    for token in tokens:
        answer = await ask(workloads, token)
        assert isinstance(answer, Refusal)
        shown.add((answer.shown_code, answer.status, answer.message, answer.facts))
    assert len(shown) == 1


# -- signatures -----------------------------------------------------------------------------------


def forged(github: SelfMadeIssuer, signature: Any = b"", **header: Any) -> str:
    head = {"typ": "JWT", "alg": "RS256", "kid": "one", **header}
    return write_token(head, job(github), signature)


def hmac_with(secret: bytes) -> Callable[[bytes], bytes]:
    return lambda signed: hmac.digest(secret, signed, hashlib.sha256)


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "", "HS256", "HS512"])
async def test_no_signature_and_a_shared_secret_are_none(
    algorithm: str, workloads: Workloads, github: SelfMadeIssuer
) -> None:
    token = forged(github, b"x" * 32, alg=algorithm)
    assert await refused(workloads, token) in ("workload:signature", "workload:invalid")
    empty = token.rpartition(".")[0] + "."
    assert await refused(workloads, empty) == "workload:invalid"
    assert github.asked[JWKS] == 0, "not even looked up"


@pytest.mark.parametrize("form", ["pem", "der", "modulus", "jwk"])
async def test_the_public_key_is_not_a_shared_secret(
    form: str, workloads: Workloads, github: SelfMadeIssuer
) -> None:
    public = rsa_key().public_key()
    secret = {
        "pem": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "der": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "modulus": public.public_numbers().n.to_bytes(256),
        "jwk": json.dumps(jwk_of(rsa_key(), "one")).encode(),
    }[form]
    token = forged(github, hmac_with(secret), alg="HS256")
    assert await refused(workloads, token) == "workload:signature"


async def test_another_key_under_the_same_name_signs_nothing(
    workloads: Workloads, github: SelfMadeIssuer
) -> None:
    def mine(signed: bytes) -> bytes:
        return sign(rsa_key(1), "RS256", signed)

    assert await refused(workloads, forged(github, mine)) == "workload:signature"
    for header in (
        {"jwk": jwk_of(rsa_key(1), "one")},
        {"jku": "http://127.0.0.1:1/keys"},
        {"x5c": ["MIIB"]},
        {"crit": ["b64"], "b64": False},
    ):
        assert await refused(workloads, forged(github, mine, **header)) == "workload:invalid"


async def test_one_changed_character_anywhere_spoils_a_token(
    workloads: Workloads, github: SelfMadeIssuer
) -> None:
    token = github.token(**job(github))
    header, claims, signature = token.split(".")
    other = urlsafe_b64decode(claims + "===").replace(b"prod", b"PROD")
    changed = [
        f"{header}.{claims}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}",
        f"{header}.{claims[:-4]}AAAA.{signature}",
        f"{header}.{text64(other)}.{signature}",
        f"{header}=.{claims}.{signature}",
        f"{header}.{claims}.{signature}=",
        f"{header}.{claims}.{signature}\n",
        f" {token}",
        f"{token}.{signature}",
        f"{header}.{claims}",
        token.replace(".", "。", 1),
        json.dumps({"payload": claims, "protected": header, "signature": signature}),
    ]
    for each in changed:
        assert await refused(workloads, each) in ("workload:invalid", "workload:signature")
    assert isinstance(await ask(workloads, token), Workload), "and it was not used up by that"


async def test_a_short_rsa_key_of_the_issuer_signs_nothing(
    workloads: Workloads, github: SelfMadeIssuer
) -> None:
    github.keys["short"] = rsa_key(0, 1024)
    token = github.token("short", **job(github))
    assert await refused(workloads, token) == "workload:signature"


async def test_one_issuer_does_not_speak_for_another(
    workloads: Workloads, github: SelfMadeIssuer, spire: SelfMadeIssuer
) -> None:
    pretended = github.token(iss=None, aud=US, sub="spiffe://example.org/batch/x")
    assert await refused(workloads, pretended) == "workload:signature"
    claims = job(github, sub="spiffe://example.org/batch/x")
    assert await refused(workloads, github.token(**claims)) == "workload:subject"
    spire.keys["rsa"] = rsa_key(1)
    assert await refused(workloads, spire.token("rsa", **job(github))) == "workload:signature"


@pytest.mark.parametrize(
    "subject",
    [
        "spiffe://example.org.evil/batch/x",
        "spiffe://evil.example.org/batch/x",
        "spiffe://example.orgbatch/x",
        "spiffe://example.org@evil/batch/x",
        "spiffe://example.org/batch/../admin",
        "spiffe://example.org/batch%2f..%2fadmin",
        "spiffe://example.org/batch-evil/x",
        "spiffe://example.org/batch/",
        "spiffe://ехample.org/batch/x",  # two Cyrillic letters
    ],
)
async def test_a_trust_domain_is_not_a_prefix(
    subject: str, workloads: Workloads, spire: SelfMadeIssuer
) -> None:
    code = await refused(workloads, svid(spire, sub=subject))
    assert code in ("workload:issuer", "workload:subject", "workload:invalid")


# -- keys that change, issuers that are away ------------------------------------------------------


async def test_keys_rotate_and_the_old_one_is_gone(
    workloads: Workloads, github: SelfMadeIssuer, clock: Moved
) -> None:
    assert isinstance(await ask(workloads, github.token(**job(github))), Workload)
    old = github.token(**job(github, jti="2"))
    github.keys = {"two": rsa_key(1)}
    new = github.token("two", **job(github, jti="3"))
    assert await refused(workloads, new) == "workload:signature", "asked a moment ago"
    clock.ahead_s = ANEW_EVERY_S
    assert isinstance(await ask(workloads, new), Workload)
    assert await refused(workloads, old) == "workload:signature"


async def test_a_flood_of_made_up_key_names_costs_the_issuer_one_question(
    workloads: Workloads, github: SelfMadeIssuer
) -> None:
    tokens = [forged(github, b"x" * 256, kid=f"made up {number}") for number in range(200)]
    codes = await asyncio.gather(*(refused(workloads, token) for token in tokens))
    assert set(codes) == {"workload:signature"}
    assert github.asked[JWKS] == 1
    assert isinstance(await ask(workloads, github.token(**job(github))), Workload)


async def test_an_unknown_issuer_is_never_asked(
    workloads: Workloads, github: SelfMadeIssuer, spire: SelfMadeIssuer
) -> None:
    token = spire.token(algorithm="ES256", **job(github, iss=spire.url))
    assert await refused(workloads, token) == "workload:issuer"
    assert not spire.asked


async def test_an_issuer_that_is_down_lets_nothing_pass_and_uses_nothing_up(
    workloads: Workloads, github: SelfMadeIssuer, clock: Moved
) -> None:
    token = github.token(**job(github))
    github.answers[JWKS] = (502, {}, b"")
    assert await ask(workloads, token) is UNAVAILABLE
    assert UNAVAILABLE.status == 503
    assert UNAVAILABLE.should_retry
    del github.answers[JWKS]
    clock.ahead_s += UNAVAILABLE.retry_after_s or 0
    assert isinstance(await ask(workloads, token), Workload)


# -- used once ------------------------------------------------------------------------------------


async def test_a_token_is_good_for_one_exchange_however_many_ask_at_once(
    workloads: Workloads, github: SelfMadeIssuer
) -> None:
    token = github.token(**job(github))
    answers = await asyncio.gather(*(ask(workloads, token) for _ in range(20)))
    assert sum(isinstance(answer, Workload) for answer in answers) == 1
    assert {answer.code for answer in answers if isinstance(answer, Refusal)} == {
        "workload:replayed"
    }


async def test_a_used_token_is_used_in_every_process_that_shares_the_records(
    workloads: Workloads, github: SelfMadeIssuer, tmp_path: Path, clock: Moved
) -> None:
    token = github.token(**job(github))
    assert isinstance(await ask(workloads, token), Workload)
    second = SqliteProofs(tmp_path, clock)
    upstream = HttpUpstream()
    issuers = {github.url: Issuer(Pin(source=github.url), upstream, clock, check_issuer_url)}
    other = Workloads(rules_of(github)[:1], issuers, second, lambda: US)
    assert await refused(other, token) == "workload:replayed"
    await upstream.close()
    second.close()


async def test_the_other_signature_that_ecdsa_allows_is_no_second_use(
    workloads: Workloads, spire: SelfMadeIssuer
) -> None:
    token = svid(spire)
    signed, _, last = token.rpartition(".")
    signature = urlsafe_b64decode(last + "==")
    flipped = signature[:32] + (P256_ORDER - int.from_bytes(signature[32:])).to_bytes(32)
    assert isinstance(await ask(workloads, token), Workload)
    assert await refused(workloads, f"{signed}.{text64(flipped)}") == "workload:replayed"


async def test_a_token_that_fits_no_rule_is_not_used_up(
    workloads: Workloads, github: SelfMadeIssuer, replays: SqliteProofs
) -> None:
    token = github.token(**job(github, environment="dev"))
    assert await refused(workloads, token) == "workload:environment"
    assert await refused(workloads, token) == "workload:environment"


async def test_records_that_cannot_be_read_let_nothing_pass(
    workloads: Workloads, github: SelfMadeIssuer, replays: SqliteProofs
) -> None:
    replays.close()
    with pytest.raises(StoreError):
        await ask(workloads, github.token(**job(github)))


async def test_after_the_memory_of_used_tokens_was_lost_older_ones_are_not_taken(
    github: SelfMadeIssuer, tmp_path: Path
) -> None:
    class Now(Moved):
        def now_ms(self) -> int:
            return time.time_ns() // 1_000_000

    (tmp_path / "new").mkdir()
    store = SqliteProofs(tmp_path / "new", Now())
    upstream = HttpUpstream()
    issuers = {github.url: Issuer(Pin(source=github.url), upstream, Now(), check_issuer_url)}
    workloads = Workloads(rules_of(github)[:1], issuers, store, lambda: US)
    assert await refused(workloads, github.token(**job(github))) == "workload:forgotten"
    await upstream.close()
    store.close()


# -- what the operator hears ----------------------------------------------------------------------


async def test_the_operator_hears_what_did_not_fit_once_a_minute(
    workloads: Workloads, github: SelfMadeIssuer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "tokenward.workloads"):
        for _ in range(5):
            await refused(workloads, github.token(**job(github, environment="dev\x1b[2J")))
        await refused(workloads, github.token(**job(github, repository_id="99")))
    first, second = caplog.messages
    assert "workload:environment" in first
    assert "ci" in first
    assert r"dev\x1b[2J" in first
    assert "repository_id" in second


async def test_what_no_issuer_signed_writes_no_line(
    workloads: Workloads, github: SelfMadeIssuer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "tokenward.workloads"):
        for token in ("", "a.b.c", forged(github, b"x" * 256), "x" * (TOKEN_BYTES_MAX + 1)):
            await refused(workloads, token)
    assert caplog.messages == []


def test_a_rule_whose_issuer_is_not_pinned_is_our_own_mistake(
    github: SelfMadeIssuer, replays: SqliteProofs
) -> None:
    (rule, _) = rules_of(github)
    with pytest.raises(AssertionError):
        Workloads((replace(rule, issuer="https://x"),), {}, replays, lambda: US)
