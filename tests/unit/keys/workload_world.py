"""Tokens of other issuers, as the tests of rules and of times make them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from issuer import write_token
from tokenward.keys.workload import (
    SubjectToken,
    Unfit,
    Workload,
    identify,
    read_subject_token,
)
from tokenward.keys.workload_rules import ALGORITHMS, Rule

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
