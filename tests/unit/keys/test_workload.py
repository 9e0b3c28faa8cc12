"""Tokens of other issuers: their times, their one use, and their shape."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from issuer import number64, rsa_key, text64, write_token
from tokenward.kernel import jws
from tokenward.kernel.refusals import Refusal
from tokenward.keys.workload import (
    LIFETIME_MS_MAX,
    SKEW_MS,
    TOKEN_BYTES_MAX,
    SubjectToken,
    Unfit,
    Workload,
    identify,
    read_subject_token,
)
from unit.keys.workload_world import (
    GITHUB,
    GITHUB_CLAIMS,
    JWT,
    NOW_MS,
    OIDC,
    SPIFFE,
    asked,
    code,
    svid,
    unsigned,
)

# -- times ----------------------------------------------------------------------------------------


def test_a_token_that_has_ended_has_ended() -> None:
    end_ms = GITHUB_CLAIMS["exp"] * 1000
    assert isinstance(asked(GITHUB, now_ms=end_ms - 1), Workload)
    assert code(asked(GITHUB, now_ms=end_ms)) == "workload:expired"


@pytest.mark.parametrize("name", ["iat", "nbf"])
def test_a_token_of_the_future_waits_for_its_time(name: str) -> None:
    now_s = NOW_MS // 1000
    assert isinstance(asked(GITHUB, **{name: now_s + SKEW_MS // 1000}), Workload)
    assert code(asked(GITHUB, **{name: now_s + SKEW_MS // 1000 + 1})) == "workload:early"


def test_a_token_that_is_good_for_longer_than_an_hour_is_too_much() -> None:
    hour_s, iat_s = LIFETIME_MS_MAX // 1000, GITHUB_CLAIMS["iat"]
    assert isinstance(asked(GITHUB, exp=iat_s + hour_s), Workload)
    assert code(asked(GITHUB, exp=iat_s + hour_s + 1)) == "workload:lifetime"


def test_a_token_from_before_what_is_remembered_is_not_taken() -> None:
    made_ms = GITHUB_CLAIMS["iat"] * 1000
    assert isinstance(asked(GITHUB, since_ms=made_ms - SKEW_MS), Workload)
    assert code(asked(GITHUB, since_ms=made_ms - SKEW_MS + 1)) == "workload:forgotten"


@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
@pytest.mark.parametrize("value", ["1632493867", True, -1, 0, 1e300, [1], {}, 10**40])
def test_what_is_no_moment_is_none(name: str, value: Any) -> None:
    assert code(asked(GITHUB, **{name: value})) == "workload:expired"


@pytest.mark.parametrize("name", ["exp", "iat"])
def test_a_token_says_when_it_was_made_and_when_it_ends(name: str) -> None:
    assert code(asked(GITHUB, **{name: None})) == "workload:expired"


# -- used once ------------------------------------------------------------------------------------


def key_of(found: Workload | Unfit) -> bytes:
    assert isinstance(found, Workload), found
    return found.replay_key


def test_a_token_is_known_again_by_its_issuer_and_jti() -> None:
    first = key_of(asked(GITHUB))
    assert key_of(asked(GITHUB, run_number="11")) == first
    assert key_of(asked(GITHUB, jti="example-id-2")) != first
    elsewhere = GITHUB_CLAIMS["iss"] + "/octocorp"
    assert key_of(asked(replace(GITHUB, issuer=elsewhere), iss=elsewhere)) != first


def keys_of(algorithm: str, *signatures: bytes, **changed: Any) -> set[bytes]:
    keys = set()
    for signature in signatures:
        header = {"alg": algorithm, "kid": "one"}
        token = read_subject_token(write_token(header, svid(**changed), signature), JWT)
        assert isinstance(token, SubjectToken)
        keys.add(key_of(identify(token, (SPIFFE,), "", NOW_MS, 0)))
    return keys


def test_a_token_without_jti_is_known_by_itself() -> None:
    assert len(keys_of("RS256", b"1" * 256, b"1" * 256)) == 1
    assert len(keys_of("RS256", b"1" * 256, b"2" * 256)) == 2
    later = keys_of("RS256", b"1" * 256, exp=NOW_MS // 1000 + 299)
    assert later.isdisjoint(keys_of("RS256", b"1" * 256))


def test_a_token_without_jti_is_the_same_with_the_other_signature_that_ecdsa_allows() -> None:
    r = b"r" * 32
    assert len(keys_of("ES256", r + b"1" * 32, r + b"2" * 32)) == 1
    assert len(keys_of("ES256", r + b"1" * 32, b"q" * 32 + b"1" * 32)) == 2


@pytest.mark.parametrize("jti", ["", 7, ["a"], "x" * 2_000, "a\nb", "\ud800"])
def test_a_jti_is_a_short_visible_text(jti: Any) -> None:
    found = asked(GITHUB, jti=jti)
    assert code(found) == "workload:invalid"


# -- shape ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "token_type",
    [
        "",
        "urn:ietf:params:oauth:token-type:access_token",
        "urn:ietf:params:oauth:token-type:refresh_token",
        "urn:ietf:params:oauth:token-type:saml2",
        JWT.upper(),
    ],
)
def test_only_tokens_that_are_said_to_be_signed_ones_are_read(token_type: str) -> None:
    assert isinstance(read_subject_token(unsigned(GITHUB_CLAIMS), token_type), Refusal)


def test_both_names_of_a_signed_token_are_understood() -> None:
    for token_type in (JWT, "urn:ietf:params:oauth:token-type:id_token"):
        assert isinstance(read_subject_token(unsigned(GITHUB_CLAIMS), token_type), SubjectToken)


@pytest.mark.parametrize(
    "header",
    [
        {"crit": []},
        {"crit": ["exp"]},
        {"b64": False},
        {"jwk": {"kty": "RSA", "n": number64(rsa_key().public_key().public_numbers().n)}},
        {"jku": "https://evil.example/keys"},
        {"x5u": "https://evil.example/cert"},
        {"x5c": ["MII"]},
        {"typ": "at+jwt"},
        {"typ": "dpop+jwt"},
        {"typ": "logout+jwt"},
        {"typ": 7},
        {"kid": None},
        {"kid": 7},
        {"kid": ""},
        {"kid": "x" * 2_000},
        {"kid": "../../dev/null\x00"},
        {"alg": None},
        {"alg": ["RS256"]},
    ],
    ids=lambda header: next(iter(header)),
)
def test_a_header_names_an_algorithm_and_a_key_of_ours_and_brings_none(
    header: dict[str, Any],
) -> None:
    assert isinstance(read_subject_token(unsigned(GITHUB_CLAIMS, **header), JWT), Refusal)


@pytest.mark.parametrize("kind", ["JWT", "jwt", "JOSE"])
def test_a_header_may_say_that_it_is_a_jwt(kind: str) -> None:
    assert isinstance(read_subject_token(unsigned(GITHUB_CLAIMS, typ=kind), JWT), SubjectToken)


def test_an_oversize_token_is_not_taken_apart() -> None:
    assert isinstance(
        read_subject_token(unsigned(GITHUB_CLAIMS | {"x": "x" * TOKEN_BYTES_MAX}), JWT), Refusal
    )


def test_claims_that_two_parsers_read_differently_are_refused() -> None:
    twice = json.dumps(GITHUB_CLAIMS)[:-1] + ', "repository_id": "1"}'
    for claims in (twice.encode(), b"[]", b"", b"\xff", b"{", b'{"a":NaN}'):
        assert isinstance(read_subject_token(unsigned(claims), JWT), Refusal)


@pytest.mark.parametrize("claims", [{}, {"iss": None}, {"iss": ["x"]}, {"iss": ""}, {"sub": "x"}])
def test_a_token_that_names_no_issuer_has_none(claims: dict[str, Any]) -> None:
    assert isinstance(read_subject_token(unsigned(claims), JWT), Refusal)


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda b: f"{text64(b)}.{text64(b)}.x"))
def test_no_text_is_more_than_refused(text: str) -> None:
    assert isinstance(read_subject_token(text, JWT), Refusal)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(sorted(GITHUB_CLAIMS)), anything))
def test_no_claims_are_more_than_unfit(changed: dict[str, Any]) -> None:
    token = SubjectToken(
        GITHUB.issuer, "RS256", "one", jws.Compact({}, GITHUB_CLAIMS | changed, b"", b"")
    )
    for rule in (GITHUB, SPIFFE, OIDC):
        found = identify(token, (rule,), "", NOW_MS, 0)
        if isinstance(found, Workload):
            assert rule is GITHUB
            for name in ("repository_id", "repository_owner_id", "aud", "iss"):
                assert (GITHUB_CLAIMS | changed)[name] == GITHUB_CLAIMS[name] or name == "aud"
