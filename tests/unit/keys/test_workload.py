"""Which tokens of other issuers stand for which key: the claims, the rules and the times."""

import json
from dataclasses import replace
from pathlib import Path
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
    rules_for,
)
from tokenward.keys.workload_rules import ALGORITHMS, Rule, read_spiffe_id, trust_domain_of

DATA = Path(__file__).parents[2] / "data" / "workload"
GITHUB_CLAIMS: dict[str, Any] = json.loads((DATA / "github_claims.json").read_text("utf-8"))
NOW_MS = GITHUB_CLAIMS["iat"] * 1000 + 1_000
JWT = "urn:ietf:params:oauth:token-type:jwt"
GITHUB = Rule(
    name="ci",
    kind="github",
    key_id="AbCdEf012345",
    issuer=GITHUB_CLAIMS["iss"],
    algorithms=("RS256",),
    audience=GITHUB_CLAIMS["aud"],
    repository_id="74",
    repository_owner_id="65",
)
SPIFFE = Rule(
    name="batch",
    kind="spiffe",
    key_id="GhIjKl678901",
    issuer="",
    algorithms=ALGORITHMS["spiffe"],
    audience="https://guard.example.com",
    subject="spiffe://example.org/batch/*",
)
OIDC = replace(SPIFFE, name="nightly", kind="oidc", issuer="https://oidc.example.org", subject="x")


def unsigned(claims: dict[str, Any] | bytes, **header: Any) -> str:
    return write_token({"alg": "RS256", "kid": "one", **header}, claims, b"x" * 256)


def taken_apart(claims: dict[str, Any]) -> SubjectToken:
    token = read_subject_token(unsigned(claims), JWT)
    assert isinstance(token, SubjectToken)
    return token


def asked(
    *rules: Rule, now_ms: int = NOW_MS, since_ms: int = 0, base: Any = None, **changed: Any
) -> Workload | Unfit:
    """What becomes of GitHub's example with some claims changed; None takes one out."""
    claims = (GITHUB_CLAIMS if base is None else base) | changed
    token = taken_apart({name: value for name, value in claims.items() if value is not None})
    return identify(token, rules, "https://default.example", now_ms, since_ms)


def code(found: Workload | Unfit) -> str:
    assert isinstance(found, Unfit), found
    assert found.refusal.status == 400
    assert found.refusal.shown_code == "workload:invalid"
    return found.refusal.code


def svid(**changed: Any) -> dict[str, Any]:
    plain = {
        "sub": "spiffe://example.org/batch/embed",
        "aud": ["https://guard.example.com"],
        "iat": NOW_MS // 1000,
        "exp": NOW_MS // 1000 + 300,
    }
    return plain | changed


# -- GitHub ---------------------------------------------------------------------------------------


def test_the_documented_example_of_github_is_its_key_for_as_long_as_the_token() -> None:
    found = asked(GITHUB)
    assert isinstance(found, Workload)
    assert (found.key_id, found.rule) == ("AbCdEf012345", "ci")
    assert found.who == "repo:octo-org/octo-repo:environment:prod"
    assert found.until_ms == GITHUB_CLAIMS["exp"] * 1000


@pytest.mark.parametrize(
    "subject",
    [
        "repo:octo-org/octo-repo:ref:refs/heads/main",
        "repo:octo-org/octo-repo:environment:prod",
        "repo:octo-org@65/octo-repo@74:ref:refs/heads/main",
        "repo:octo-org@65/octo-repo@74:environment:Production%3AV1",
        "repo:mona_corp@65/a.b-c_d@74:ref:refs/heads/feature/a@b:c",
    ],
)
def test_both_forms_of_a_subject_are_read(subject: str) -> None:
    assert isinstance(asked(GITHUB, sub=subject), Workload)


@pytest.mark.parametrize(
    "subject",
    [
        "repo:octo-org@66/octo-repo@74:ref:refs/heads/main",
        "repo:octo-org@65/octo-repo@75:ref:refs/heads/main",
        "repo:octo-org@65/octo-repo:ref:refs/heads/main",
        "repo:octo-org/octo-repo@74:ref:refs/heads/main",
        "repo:octo-org@74/octo-repo@65:ref:refs/heads/main",
    ],
)
def test_ids_in_the_subject_must_be_the_ids_of_the_claims(subject: str) -> None:
    assert code(asked(GITHUB, sub=subject)) == "workload:repository"


@pytest.mark.parametrize(
    "subject",
    [
        "repository_owner:octo-org:environment:prod",
        "repo:octo-org/octo-repo",
        "repo:octo-org/octo-repo:",
        "repo:octo-org:ref:refs/heads/main",
        "repo:octo-org@/octo-repo@74:ref:x",
        "repo:octo-org/octo/repo:ref:x",
        "repo:оcto-org/octo-repo:ref:x",  # a Cyrillic o
        "xrepo:octo-org/octo-repo:ref:x",
    ],
)
def test_a_subject_of_another_shape_is_not_guessed_at(subject: str) -> None:
    assert code(asked(GITHUB, sub=subject)) == "workload:subject"


@pytest.mark.parametrize(
    "changed",
    [
        {"repository_id": "75"},
        {"repository_owner_id": "66"},
        {"repository_id": 74},
        {"repository_id": None},
        {"repository_id": ["74"]},
        {"repository_id": "74 "},
        {"repository_id": "７４"},
        {"repository_owner_id": None},
    ],
    ids=str,
)
def test_the_same_name_with_another_id_is_another_repository(changed: dict[str, Any]) -> None:
    found = asked(GITHUB, **changed)
    assert code(found) == "workload:repository"
    assert isinstance(found, Unfit)
    assert found.why.isascii()
    assert next(iter(changed)) in found.why


def test_a_fork_is_another_repository_whatever_it_is_called() -> None:
    fork = {
        "sub": "repo:mallory@99/octo-repo@1234:ref:refs/heads/main",
        "repository": "octo-org/octo-repo",
        "repository_id": "1234",
        "repository_owner_id": "99",
    }
    assert code(asked(GITHUB, **fork)) == "workload:repository"


@pytest.mark.parametrize(
    "changed",
    [
        {"sub": "repo:octo-org/octo-repo:pull_request"},
        {"sub": "repo:octo-org@65/octo-repo@74:pull_request"},
        {"event_name": "pull_request"},
        {"event_name": "pull_request_target"},
        {"ref": "refs/pull/7/merge"},
    ],
    ids=str,
)
def test_what_runs_for_a_pull_request_is_refused_unless_the_rule_names_it(
    changed: dict[str, Any],
) -> None:
    assert code(asked(GITHUB, **changed)) == "workload:pull_request"
    assert isinstance(asked(replace(GITHUB, pull_requests=True), **changed), Workload)


@pytest.mark.parametrize(
    ("name", "wanted", "other", "refused"),
    [
        ("ref", "refs/heads/main", "refs/heads/main2", "workload:ref"),
        ("ref", "refs/heads/main", "refs/tags/main", "workload:ref"),
        ("environment", "prod", "dev", "workload:environment"),
        ("environment", "prod", "Prod", "workload:environment"),
        ("environment", "prod", None, "workload:environment"),
        (
            "job_workflow_ref",
            "octo-org/octo-automation/.github/workflows/oidc.yml@refs/heads/main",
            "octo-org/octo-automation/.github/workflows/oidc.yml@refs/heads/evil",
            "workload:workflow",
        ),
    ],
)
def test_a_rule_can_ask_for_a_branch_an_environment_and_a_workflow(
    name: str, wanted: str, other: str | None, refused: str
) -> None:
    rule = replace(GITHUB, **{name: wanted})
    assert isinstance(asked(rule, **{name: wanted}), Workload)
    assert code(asked(rule, **{name: other})) == refused


def test_the_first_rule_that_fits_says_the_key() -> None:
    prod = replace(GITHUB, name="prod", environment="prod", key_id="P" * 12)
    found = asked(prod, GITHUB), asked(GITHUB, prod), asked(prod, GITHUB, environment="dev")
    assert [each.rule for each in found] == ["prod", "ci", "ci"]


def test_the_operator_hears_of_the_rule_that_nearly_fitted() -> None:
    other = replace(GITHUB, name="other", repository_id="1")
    prod = replace(GITHUB, name="prod", environment="prod")
    found = asked(other, prod, other, environment="dev")
    assert isinstance(found, Unfit)
    assert (found.rule, code(found)) == ("prod", "workload:environment")
    assert "'dev'" in found.why
    assert "'prod'" in found.why


def test_a_claim_cannot_write_into_the_operators_terminal() -> None:
    found = asked(replace(GITHUB, environment="prod"), environment="\x1b[2J\u202e\n" + "x" * 500)
    assert isinstance(found, Unfit)
    assert found.why.isascii()
    assert found.why.isprintable()
    assert len(found.why) < 400


# -- audience and issuer --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "fits"),
    [
        ("https://guard.example.com", True),
        (["https://other.example", "https://guard.example.com"], True),
        (["https://guard.example.com"], True),
        ("https://guard.example.com/", False),
        ("https://guard.example.com.evil.example", False),
        ("https://guard.example", False),
        ("HTTPS://GUARD.EXAMPLE.COM", False),
        (["https://other.example"], False),
        ([["https://guard.example.com"]], False),
        ([], False),
        ("", False),
        (None, False),
        ({"https://guard.example.com": True}, False),
        (True, False),
    ],
)
def test_the_audience_is_ours_or_has_us_in_its_list(given: Any, fits: bool) -> None:
    found = asked(replace(GITHUB, audience="https://guard.example.com"), aud=given)
    assert isinstance(found, Workload) or code(found) == "workload:audience"
    assert isinstance(found, Workload) is fits


def test_a_rule_without_an_audience_means_the_guards_own_name() -> None:
    rule = replace(GITHUB, audience="")
    assert isinstance(asked(rule, aud="https://default.example"), Workload)
    assert code(asked(rule, aud="")) == "workload:audience"
    token = taken_apart(GITHUB_CLAIMS | {"aud": ""})
    assert code(identify(token, (rule,), "", NOW_MS, 0)) == "workload:audience"


@pytest.mark.parametrize(
    "issuer",
    [
        "https://token.actions.githubusercontent.com/",
        "https://token.actions.githubusercontent.com.evil.example",
        "http://token.actions.githubusercontent.com",
        "https://token.actions.githubusercontent.com/octocorp",
    ],
)
def test_an_issuer_is_pinned_by_every_character(issuer: str) -> None:
    refused = rules_for(taken_apart(GITHUB_CLAIMS | {"iss": issuer}), (GITHUB,))
    assert isinstance(refused, Refusal)
    assert (refused.code, refused.shown_code) == ("workload:issuer", "workload:invalid")


@pytest.mark.parametrize("algorithm", ["none", "HS256", "ES256", "PS256", "RS512", "rs256"])
def test_github_signs_with_rs256_and_nothing_else_is_looked_at(algorithm: str) -> None:
    token = read_subject_token(unsigned(GITHUB_CLAIMS, alg=algorithm), JWT)
    assert isinstance(token, SubjectToken)
    refused = rules_for(token, (GITHUB,))
    assert isinstance(refused, Refusal)
    assert refused.code == "workload:signature"


# -- SPIFFE and others ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "subject", "fits"),
    [
        ("spiffe://example.org/batch/*", "spiffe://example.org/batch/embed", True),
        ("spiffe://example.org/batch/*", "spiffe://example.org/batch/a/b", True),
        ("spiffe://example.org/batch/*", "spiffe://example.org/batch", False),
        ("spiffe://example.org/batch/*", "spiffe://example.org/batch-evil/x", False),
        ("spiffe://example.org/batch/*", "spiffe://example.org/other", False),
        ("spiffe://example.org/*", "spiffe://example.org/any/thing", True),
        ("spiffe://example.org/*", "spiffe://example.org.evil/any", False),
        ("spiffe://example.org/*", "spiffe://example.org", False),
        ("spiffe://example.org/a", "spiffe://example.org/a", True),
        ("spiffe://example.org/a", "spiffe://example.org/ab", False),
        ("spiffe://example.org/a", "spiffe://example.org/a/b", False),
        ("spiffe://example.org/a", "spiffe://example.org/A", False),
    ],
)
def test_a_spiffe_id_fits_by_whole_segments(rule: str, subject: str, fits: bool) -> None:
    found = asked(replace(SPIFFE, subject=rule), base=svid(sub=subject))
    assert isinstance(found, Workload) or code(found) == "workload:subject"
    assert isinstance(found, Workload) is fits


@pytest.mark.parametrize(
    "text",
    [
        "spiffe://example.org.evil/batch/embed",
        "spiffe://evil-example.org/batch/embed",
        "spiffe://example.org:8080/batch",
        "spiffe://user@example.org/batch",
    ],
)
def test_another_trust_domain_is_another_issuer(text: str) -> None:
    token = read_subject_token(unsigned(svid(sub=text)), JWT)
    refused = rules_for(token, (SPIFFE,)) if isinstance(token, SubjectToken) else token
    assert isinstance(refused, Refusal)
    assert refused.code in ("workload:issuer", "workload:invalid")


@pytest.mark.parametrize(
    "text",
    [
        "spiffe://example.org/batch/../admin",
        "spiffe://example.org/batch/./x",
        "spiffe://example.org/batch//x",
        "spiffe://example.org/batch/",
        "spiffe://example.org/batch/%2e%2e",
        "spiffe://example.org/batch/x?y",
        "spiffe://example.org/batch/x#y",
        "spiffe://EXAMPLE.org/batch/x",
        "SPIFFE://example.org/batch/x",
        "spiffe:///batch/x",
        "spiffe://example.org/batch/ü",
        "spiffe://example.org/" + "x" * 2_048,
        "https://example.org/batch/x",
        " spiffe://example.org/batch/x",
        "spiffe://example.org/batch/x\n",
        "",
        None,
        7,
    ],
)
def test_what_is_not_a_spiffe_id_in_its_one_spelling_is_none(text: Any) -> None:
    assert read_spiffe_id(text) is None
    issued = replace(SPIFFE, issuer="https://spire.example.org")
    token = taken_apart(svid(iss="https://spire.example.org", sub=text))
    assert isinstance(identify(token, (issued,), "", NOW_MS, 0), Unfit)


@pytest.mark.parametrize(
    "subject",
    ["spiffe://example.org", "spiffe://example.org/a*", "spiffe://*/a", "example.org/a", "/*", "*"],
)
def test_a_rules_spiffe_id_has_its_star_at_the_end_of_a_path_alone(subject: str) -> None:
    with pytest.raises(ValueError, match="must be like spiffe://"):
        trust_domain_of(subject)


def test_an_svid_with_an_issuer_is_not_one_without() -> None:
    named = replace(SPIFFE, issuer="https://spire.example.org")
    claims = svid(iss="https://spire.example.org")
    assert isinstance(asked(named, base=claims), Workload)
    assert code(asked(SPIFFE, base=claims)) == "workload:issuer"
    assert code(asked(named, base=svid())) == "workload:issuer"
    pretended = taken_apart(svid(iss="spiffe://example.org"))
    assert rules_for(pretended, (SPIFFE,)) == (SPIFFE,)
    assert code(identify(pretended, (SPIFFE,), "", NOW_MS, 0)) == "workload:issuer"


@pytest.mark.parametrize("subject", ["y", "X", "x ", "xx", "*", None])
def test_any_other_issuer_is_asked_for_the_exact_subject(subject: str | None) -> None:
    plain = svid(iss=OIDC.issuer, sub="x")
    assert isinstance(asked(OIDC, base=plain), Workload)
    found = asked(OIDC, base=plain, sub=subject)
    assert code(found) in ("workload:subject", "workload:invalid")


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
