"""`[[workload]]`: can these rules work, and what are they to the rest of the guard?"""

import re
from typing import Final

from tokenward.kernel.names import check_name
from tokenward.keys.workload_rules import ALGORITHMS, GITHUB_ISSUER, Pin, Rule, trust_domain_of
from tokenward.settings.shape import Workload, Written
from tokenward.settings.urls import check_issuer_url

_KEY_ID: Final = re.compile(r"[0-9A-Za-z]{12}")
_GITHUB_ID: Final = re.compile(r"[0-9]{1,20}")
_GITHUB_ONLY: Final = (
    "repository_id", "repository_owner_id", "ref", "environment", "job_workflow_ref",
    "pull_requests",
)  # fmt: skip


def rules_of(settings: Written) -> tuple[Rule, ...]:
    """What the checked tables say, in their order."""
    return tuple(map(_rule_of, settings.workloads))


def pins_of(settings: Written) -> tuple[Pin, ...]:
    """Where the public keys of the checked tables' issuers are."""
    return tuple(map(_pin_of, settings.workloads))


def check_workloads(settings: Written) -> None:
    """ValueError for the first rule that cannot work, or would let in more than it says."""
    pinned: dict[str, Workload] = {}
    names: set[str] = set()
    for place, table in enumerate(settings.workloads):
        at = f"workload[{place}]"
        _check_words(table, at)
        if not table.audience and not settings.server.public_urls:
            raise ValueError(
                f"{at}.audience: name one, or name this guard in server.public_urls; every guard "
                "on a machine of its own would take http://127.0.0.1:8080"
            )
        if table.name in names:
            raise ValueError(f"{at}.name: two are named {table.name!r}; give each its own name")
        names.add(table.name)
        _check_kind(table, at)
        rule = _rule_of(table)
        _check_addresses(table, rule.issuer, at)
        _check_pins(table, pinned.setdefault(rule.source, table), at)


def _check_words(table: Workload, at: str) -> None:
    try:
        check_name(table.name, "a workload's name")
    except ValueError as error:
        raise ValueError(f"{at}.name: {error}") from None
    if _KEY_ID.fullmatch(table.key) is None:
        raise ValueError(
            f"{at}.key: must be the id of a key, 12 letters and digits as tokenward key list "
            "shows; if a whole key is written there, consider it leaked"
        )
    for name in ("issuer", "audience", *_GITHUB_ONLY[:-1], "subject"):
        text = getattr(table, name)
        if len(text) > 1_024 or not text.isprintable():
            raise ValueError(f"{at}.{name}: must be at most 1024 visible characters")


def _check_kind(table: Workload, at: str) -> None:
    if table.kind == "github":
        _check_github(table, at)
        return
    for name in _GITHUB_ONLY:
        if getattr(table, name):
            raise ValueError(f'{at}.{name}: only kind = "github" has that')
    for algorithm in table.algorithms:
        if algorithm not in ALGORITHMS["spiffe"]:
            known = ", ".join(ALGORITHMS["spiffe"])
            raise ValueError(f"{at}.algorithms: must be of {known}")
    if not table.subject:
        raise ValueError(f"{at}.subject: must be there; an issuer signs for many workloads")
    if table.kind == "spiffe":
        try:
            trust_domain_of(table.subject)
        except ValueError as error:
            raise ValueError(f"{at}.subject: {error}") from None
        if not table.issuer and not table.jwks_uri:
            raise ValueError(
                f"{at}.jwks_uri: must say where the keys of the trust domain are (or issuer, if "
                "its tokens name one)"
            )
    elif not table.issuer:
        raise ValueError(f"{at}.issuer: must be there, exactly as iss in the tokens")
    elif table.issuer == GITHUB_ISSUER:
        raise ValueError(
            f'{at}.kind: use kind = "github" for this issuer; its sub holds names, which others '
            "can take"
        )


def _check_github(table: Workload, at: str) -> None:
    for name in ("repository_id", "repository_owner_id"):
        if _GITHUB_ID.fullmatch(getattr(table, name)) is None:
            raise ValueError(
                f"{at}.{name}: must be the number, as text; gh api repos/OWNER/NAME shows it"
            )
    if table.subject:
        raise ValueError(f"{at}.subject: not for github; use ref, environment, job_workflow_ref")
    if table.algorithms not in ((), ALGORITHMS["github"]):
        raise ValueError(f"{at}.algorithms: GitHub signs with RS256 and nothing else is taken")


def _check_addresses(table: Workload, issuer: str, at: str) -> None:
    name, url = ("jwks_uri", table.jwks_uri) if table.jwks_uri else ("issuer", issuer)
    try:
        check_issuer_url(url, table.allow_plain_http)
    except ValueError as error:
        raise ValueError(f"{at}.{name} {error}") from None


def _check_pins(table: Workload, first: Workload, at: str) -> None:
    """One issuer has one set of keys; and the keys of one trust domain never speak for another."""
    for name in ("jwks_uri", "ca_file", "allow_plain_http"):
        if getattr(table, name) != getattr(first, name):
            raise ValueError(
                f"{at}.{name}: {first.name!r} has the same issuer, so it must say the same"
            )
    if table.kind != first.kind:
        raise ValueError(f"{at}.kind: {first.name!r} has the same issuer and another kind")
    if table.kind == "spiffe" and trust_domain_of(table.subject) != trust_domain_of(first.subject):
        raise ValueError(
            f"{at}.subject: {first.name!r} has the same issuer and another trust domain"
        )


def _rule_of(table: Workload) -> Rule:
    issuer = table.issuer or (GITHUB_ISSUER if table.kind == "github" else "")
    return Rule(
        name=table.name,
        kind=table.kind,
        key_id=table.key,
        issuer=issuer,
        algorithms=table.algorithms or ALGORITHMS[table.kind],
        audience=table.audience,
        subject=table.subject,
        repository_id=table.repository_id,
        repository_owner_id=table.repository_owner_id,
        ref=table.ref,
        environment=table.environment,
        job_workflow_ref=table.job_workflow_ref,
        pull_requests=table.pull_requests,
    )


def _pin_of(table: Workload) -> Pin:
    return Pin(
        source=_rule_of(table).source,
        jwks_uri=table.jwks_uri,
        allow_plain_http=table.allow_plain_http,
        ca_file=table.ca_file,
    )
