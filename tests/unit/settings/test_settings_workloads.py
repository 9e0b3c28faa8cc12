"""`[[workload]]`: rules that cannot work, or would let in more than they say, stop the start."""

import json
from pathlib import Path

import pytest

from tokenward.kernel.errors import SettingsError
from tokenward.keys.workload_rules import ALGORITHMS, GITHUB_ISSUER, Rule
from tokenward.settings import load
from tokenward.settings.workloads import rules_of

GITHUB = {
    "name": "ci",
    "kind": "github",
    "key": "AbCdEf012345",
    "repository_id": "74",
    "repository_owner_id": "65",
    "audience": "https://guard.example.com",
}
SPIFFE = {
    "name": "batch",
    "kind": "spiffe",
    "key": "GhIjKl678901",
    "subject": "spiffe://example.org/batch/*",
    "jwks_uri": "https://spire.example.org/keys",
    "audience": "https://guard.example.com",
}
OIDC = {
    "name": "nightly",
    "kind": "oidc",
    "key": "MnOpQr234567",
    "issuer": "https://oidc.example.org",
    "subject": "system:serviceaccount:jobs:nightly",
    "audience": "https://guard.example.com",
}


def toml(*tables: dict[str, object]) -> str:
    lines = []
    for table in tables:
        lines.append("[[workload]]")
        lines += [f"{name} = {json.dumps(value)}" for name, value in table.items()]
    return "\n".join(lines)


def rules(folder: Path, *tables: dict[str, object], more: str = "") -> list[Rule]:
    path = folder / "tokenward.toml"
    path.write_text(more + toml(*tables), "utf-8")
    return list(rules_of(load(path, {})))


def problem(folder: Path, *tables: dict[str, object], more: str = "") -> str:
    with pytest.raises(SettingsError) as error:
        rules(folder, *tables, more=more)
    return str(error.value)


def test_three_kinds_of_rules_are_read(tmp_path: Path) -> None:
    github, spiffe, oidc = rules(tmp_path, GITHUB, SPIFFE, OIDC)
    assert (github.source, github.key_id) == (GITHUB_ISSUER, "AbCdEf012345")
    assert github.algorithms == oidc.algorithms == ("RS256",)
    assert (spiffe.source, spiffe.issuer) == ("spiffe://example.org", "")
    assert spiffe.algorithms == ALGORITHMS["spiffe"]
    assert "HS256" not in spiffe.algorithms
    assert oidc.source == "https://oidc.example.org"


def test_a_rule_may_take_other_algorithms_of_its_issuer(tmp_path: Path) -> None:
    (rule,) = rules(tmp_path, {**OIDC, "algorithms": ["ES256", "PS256"]})
    assert rule.algorithms == ("ES256", "PS256")


def test_the_audience_may_be_the_guards_own_name_where_it_has_one(tmp_path: Path) -> None:
    plain = {name: value for name, value in GITHUB.items() if name != "audience"}
    named = '[server]\npublic_urls = ["https://guard.example.com"]\n'
    (rule,) = rules(tmp_path, plain, more=named)
    assert rule.audience == ""
    assert "workload[0].audience: name one" in problem(tmp_path, plain)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({**GITHUB, "name": "a b"}, "workload[0].name"),
        ({**GITHUB, "key": "tw_sk_AbCdEf012345"}, "workload[0].key"),
        ({**GITHUB, "kind": "gitlab"}, "must be one of github, oidc, spiffe"),
        ({**GITHUB, "repository_id": ""}, "workload[0].repository_id: must be the number"),
        ({**GITHUB, "repository_owner_id": "octo-org"}, "workload[0].repository_owner_id"),
        ({**GITHUB, "repository_id": "*"}, "workload[0].repository_id"),
        ({**GITHUB, "subject": "repo:octo-org/octo-repo:*"}, "workload[0].subject"),
        ({**GITHUB, "algorithms": ["ES256"]}, "workload[0].algorithms"),
        ({**GITHUB, "ref": "refs/heads/\u202emain"}, "workload[0].ref"),
        ({**GITHUB, "issuer": "http://ghes.example/_services/token"}, "workload[0].issuer would"),
        ({**GITHUB, "issuer": "https://169.254.169.254"}, "workload[0].issuer must not go to"),
        ({**SPIFFE, "subject": ""}, "workload[0].subject: must be there"),
        ({**SPIFFE, "subject": "spiffe://example.org"}, "workload[0].subject: must be like"),
        ({**SPIFFE, "subject": "spiffe://*/x"}, "workload[0].subject: must be like"),
        ({**SPIFFE, "subject": "spiffe://example.org/a*"}, "workload[0].subject: must be like"),
        ({**SPIFFE, "jwks_uri": ""}, "workload[0].jwks_uri: must say"),
        ({**SPIFFE, "jwks_uri": "http://spire.example.org/"}, "workload[0].jwks_uri would fetch"),
        ({**SPIFFE, "jwks_uri": "http://10.0.0.5/keys"}, "workload[0].jwks_uri would fetch"),
        ({**SPIFFE, "jwks_uri": "https://a.example/k?x=y"}, "workload[0].jwks_uri must be"),
        ({**SPIFFE, "ref": "refs/heads/main"}, 'workload[0].ref: only kind = "github"'),
        ({**SPIFFE, "pull_requests": True}, "workload[0].pull_requests: only kind"),
        ({**SPIFFE, "algorithms": ["HS256"]}, "workload[0].algorithms: must be of"),
        ({**OIDC, "algorithms": ["none"]}, "workload[0].algorithms: must be of"),
        ({**OIDC, "issuer": ""}, "workload[0].issuer: must be there"),
        ({**OIDC, "issuer": GITHUB_ISSUER}, 'workload[0].kind: use kind = "github"'),
        ({**OIDC, "issuer": "oidc.example.org"}, "workload[0].issuer must be like"),
        ({**OIDC, "subject": ""}, "workload[0].subject: must be there"),
        ({**OIDC, "subjet": "x"}, "nearest known one is workload[0].subject"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_rule_that_cannot_work_is_named(
    table: dict[str, object], said: str, tmp_path: Path
) -> None:
    assert said in problem(tmp_path, table)


def test_plain_http_goes_to_this_machine_and_where_it_is_allowed(tmp_path: Path) -> None:
    for host in ("127.0.0.1:8000", "[::1]:8000", "localhost:8000"):
        rules(tmp_path, {**OIDC, "issuer": f"http://{host}"})
    rules(tmp_path, {**OIDC, "issuer": "http://oidc.example.org", "allow_plain_http": True})


def test_an_issuer_whose_keys_are_elsewhere_need_not_be_an_address_of_ours(tmp_path: Path) -> None:
    cluster = {**OIDC, "issuer": "http://kubernetes.local", "jwks_uri": "https://k8s.example/keys"}
    (rule,) = rules(tmp_path, cluster)
    assert rule.source == "http://kubernetes.local"


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ({**SPIFFE}, "workload[1].name: two are named"),
        ({**SPIFFE, "name": "b", "jwks_uri": "https://other.example/"}, "workload[1].jwks_uri"),
        ({**SPIFFE, "name": "b", "ca_file": "ca.pem"}, "workload[1].ca_file"),
        ({**SPIFFE, "name": "b", "allow_plain_http": True}, "workload[1].allow_plain_http"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_issuer_has_one_set_of_keys(
    second: dict[str, object], said: str, tmp_path: Path
) -> None:
    assert said in problem(tmp_path, SPIFFE, second)


def test_the_keys_of_one_issuer_speak_for_one_trust_domain_and_one_kind(tmp_path: Path) -> None:
    issuer = {"issuer": "https://spire.example.org"}
    second = {**SPIFFE, **issuer, "name": "b", "subject": "spiffe://other.example/x"}
    assert "another trust domain" in problem(tmp_path, {**SPIFFE, **issuer}, second)
    oidc = {**OIDC, **issuer, "jwks_uri": SPIFFE["jwks_uri"]}
    assert "another kind" in problem(tmp_path, {**SPIFFE, **issuer}, oidc)


def test_a_variable_cannot_set_one_of_many_rules(tmp_path: Path) -> None:
    path = tmp_path / "tokenward.toml"
    path.write_text(toml(GITHUB), "utf-8")
    with pytest.raises(SettingsError, match="set this one in the file"):
        load(path, {"TOKENWARD_WORKLOAD__KEY": "x"})
