"""Which rule does a token of another issuer fit, and what of it does not?"""

from dataclasses import replace
from typing import Any

import pytest

from tokenward.kernel.refusals import Refusal
from tokenward.keys.workload import (
    SubjectToken,
    Unfit,
    Workload,
    identify,
    read_subject_token,
    rules_for,
)
from tokenward.keys.workload_rules import read_spiffe_id, trust_domain_of
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
    taken_apart,
    unsigned,
)

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
