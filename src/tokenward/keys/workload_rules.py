"""What must a workload's token say? One rule a table of the settings, by kind of platform.

`github`: GitHub Actions, by the immutable ids of the repository and its owner; names are given up
and taken by others. `spiffe`: a JWT-SVID, by its SPIFFE id. `oidc`: any other issuer, by `sub`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tokenward.kernel.json_text import JsonObject, JsonValue

GITHUB_ISSUER: Final = "https://token.actions.githubusercontent.com"
ALGORITHMS: Final = {
    "github": ("RS256",),
    "oidc": ("RS256",),
    "spiffe": tuple(name + size for name in ("RS", "ES", "PS") for size in ("256", "384", "512")),
}
"""What each kind takes where its rule does not say."""
_SPIFFE_ID: Final = re.compile(r"spiffe://([a-z0-9._-]{1,255})((?:/[A-Za-z0-9._-]+)*)")
_SPIFFE_CHARS_MAX: Final = 2_048
_BELOW: Final = "/*"
# Neither a name of an owner nor one of a repository can hold an @, so what stands behind it is ours
# to read. Owners of managed enterprises have an underscore.
_GITHUB_SUB: Final = re.compile(
    r"repo:[A-Za-z0-9_-]+(?:@([0-9]+))?/[A-Za-z0-9._-]+(?:@([0-9]+))?:(.+)"
)
_SHOWN_CHARS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Which tokens stand for the key `key_id`; "" asks nothing of that claim.

    `issuer` is the exact `iss` ("" for JWT-SVIDs without one); `audience` "" is the guard's own
    name. `subject` is the exact `sub`; of a SPIFFE id it may end in `/*`, all that is below.
    `pull_requests`: also what runs for a pull request, whose code nobody may have looked at.
    """

    name: str
    kind: str
    key_id: str
    issuer: str
    algorithms: tuple[str, ...]
    audience: str = ""
    subject: str = ""
    repository_id: str = ""
    repository_owner_id: str = ""
    ref: str = ""
    environment: str = ""
    job_workflow_ref: str = ""
    pull_requests: bool = False

    @property
    def source(self) -> str:
        """Whose keys sign: the issuer or, where tokens name none, the trust domain."""
        return self.issuer or f"spiffe://{trust_domain_of(self.subject)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """Where the public keys of a source are: `jwks_uri`, or where the issuer's own document says.
    `ca_file` (PEM) is trusted there besides the system's authorities."""

    source: str
    jwks_uri: str = ""
    allow_plain_http: bool = False
    ca_file: str | None = None


@dataclass(frozen=True, slots=True)
class Misfit:
    """Why a rule is not about a token. `passed`: how many checks came before this one."""

    code: str
    why: str
    passed: int = 0


def source_of(claims: JsonObject) -> str:
    """Whose keys must have signed what says this; "" where it does not say. Not verified."""
    issuer = claims.get("iss")
    if "iss" in claims:
        return issuer if isinstance(issuer, str) and issuer.isprintable() else ""
    subject = read_spiffe_id(claims.get("sub"))
    return f"spiffe://{subject[0]}" if subject is not None else ""


def read_spiffe_id(text: JsonValue) -> tuple[str, str] | None:
    """Trust domain and path; None unless it is a SPIFFE id written in its one way."""
    if not isinstance(text, str) or len(text) > _SPIFFE_CHARS_MAX:
        return None
    match = _SPIFFE_ID.fullmatch(text)
    if match is None or {".", ".."} & set(match[2].split("/")):
        return None
    return match[1], match[2]


def trust_domain_of(subject: str) -> str:
    """Of a rule's subject. ValueError unless that is a SPIFFE id, which may end in `/*`."""
    parts = read_spiffe_id(subject.removesuffix(_BELOW))
    if parts is None or not (parts[1] or subject.endswith(_BELOW)):
        raise ValueError("must be like spiffe://example.org/ci/deploy or spiffe://example.org/ci/*")
    return parts[0]


def shown(value: JsonValue) -> str:
    """A claim for people's eyes: cut, and with nothing in it that moves a cursor."""
    return ascii(value)[:_SHOWN_CHARS]


def misfit_of(rule: Rule, claims: JsonObject, audience: str) -> Misfit | None:
    """None if the rule is about a token that says this, else the first check that failed."""
    for passed, misfit in enumerate(_checks(rule, claims, audience)):
        if misfit is not None:
            return Misfit(misfit.code, misfit.why, passed)
    return None


def _checks(rule: Rule, claims: JsonObject, audience: str) -> Iterator[Misfit | None]:
    wanted, given = rule.audience or audience, claims.get("aud")
    is_ours = bool(wanted) and wanted in (given if isinstance(given, list) else [given])
    yield None if is_ours else Misfit("workload:audience", f"aud is {shown(given)}")
    is_theirs = claims.get("iss", "") == rule.issuer
    yield None if is_theirs else Misfit("workload:issuer", f"iss is {shown(claims.get('iss'))}")
    if rule.kind == "github":
        yield from _github(rule, claims)
    elif rule.kind == "spiffe":
        yield _spiffe(rule, claims)
    else:
        yield _equal("workload:subject", "sub", rule.subject, claims)


def _github(rule: Rule, claims: JsonObject) -> Iterator[Misfit | None]:
    subject = claims.get("sub")
    match = _GITHUB_SUB.fullmatch(subject) if isinstance(subject, str) else None
    yield None if match else Misfit("workload:subject", "sub is not repo:OWNER/NAME:…")
    assert match is not None, "who goes on after a misfit"
    repository = "workload:repository"
    yield _equal(repository, "repository_id", rule.repository_id, claims)
    yield _equal(repository, "repository_owner_id", rule.repository_owner_id, claims)
    ids = (match[1], match[2])
    agrees = ids in ((None, None), (rule.repository_owner_id, rule.repository_id))
    yield None if agrees else Misfit(repository, "sub has other ids than the claims")
    is_told = rule.pull_requests or not _is_for_pull_request(match[3], claims)
    yield None if is_told else Misfit("workload:pull_request", "it runs for a pull request")
    for code, name, wanted in (
        ("workload:ref", "ref", rule.ref),
        ("workload:environment", "environment", rule.environment),
        ("workload:workflow", "job_workflow_ref", rule.job_workflow_ref),
    ):
        yield _equal(code, name, wanted, claims) if wanted else None


def _is_for_pull_request(context: str, claims: JsonObject) -> bool:
    """By any of the three: `sub` does not tell where the job has an environment."""
    event, ref = claims.get("event_name"), claims.get("ref")
    return (
        context.partition(":")[0] == "pull_request"
        or (isinstance(event, str) and event.startswith("pull_request"))
        or (isinstance(ref, str) and ref.startswith("refs/pull/"))
    )


def _spiffe(rule: Rule, claims: JsonObject) -> Misfit | None:
    """Whole segments only: `/ci/*` is not about `/ci-evil/x`, nor about `/ci` itself."""
    subject, wanted = claims.get("sub"), rule.subject
    if read_spiffe_id(subject) is None or not isinstance(subject, str):
        return Misfit("workload:subject", "sub is not a SPIFFE id")
    fits = subject.startswith(wanted[:-1]) if wanted.endswith(_BELOW) else subject == wanted
    return None if fits else Misfit("workload:subject", "sub is another workload")


def _equal(code: str, name: str, wanted: str, claims: JsonObject) -> Misfit | None:
    given = claims.get(name)
    same = isinstance(given, str) and given == wanted
    return None if same else Misfit(code, f"{name} is {shown(given)}, not {shown(wanted)}")
